// Which runs `make crash-tests` has: none of the kills that it promises is left out.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  alone,
  clockJumps,
  killsAtMoments,
  killsAtWritePoints,
  leftOf,
  needsItsFaults,
  serversAway,
  sweepAlone,
} from '#test/crash/crash-runs.ts'
import { type CrashRun, STAGES, type Step, stepText } from '#test/crash/plan.ts'
import { VICTIMS } from '#test/environment/faults/victims.ts'

const POINTS = {
  backup: [
    'snapshot: SOAP VslmCreateSnapshot_Task',
    'upload: POST uploads phase=New',
    'upload: PATCH leases upload-lease hold',
    'upload: PATCH uploads progress',
    'upload mover: PUT roots/',
    'upload: PATCH uploads phase=Completed step=done finalizers=0',
  ],
  restore: ['clone: PATCH persistentvolumes claimRef'],
  delete: ['delete: DELETE roots/', 'sweep: DELETE leases upload-lease'],
}
const SECONDS = { backup: 8, restore: 6, delete: 2 }

const runs = suite('runs of make crash-tests')
const kills = (all: CrashRun[], id: string) => all.find((run) => run.id === id)!.steps.map(stepText)

runs(
  'each process dies at each write that it passes, before and after; what comes by the clock is left to the moments',
  () => {
    const all = killsAtWritePoints(POINTS)
    assert.equal(kills(all, 'points/function/before'), [
      'backup: kill caller before "snapshot: SOAP VslmCreateSnapshot_Task"',
      'backup: kill caller before "upload: POST uploads phase=New"',
      'backup: kill caller before "upload: PATCH uploads phase=Completed step=done finalizers=0"',
      'restore: kill caller before "clone: PATCH persistentvolumes claimRef"',
      'delete: kill caller before "delete: DELETE roots/"',
    ])
    assert.equal(kills(all, 'points/mover/after'), ['backup: kill caller after "upload mover: PUT roots/"'])
    assert.equal(kills(all, 'points/pod/after'), ['backup: kill function after "upload mover: PUT roots/"'])
    assert.equal(kills(all, 'points/s3/before'), [
      'backup: kill s3 before "upload mover: PUT roots/"',
      'delete: kill s3 before "delete: DELETE roots/"',
    ])
    for (const server of ['etcd', 'kube-apiserver'])
      assert.equal(kills(all, `points/${server}/after`), [
        `backup: kill ${server} after "upload: POST uploads phase=New"`,
        `backup: kill ${server} after "upload: PATCH uploads phase=Completed step=done finalizers=0"`,
        `restore: kill ${server} after "clone: PATCH persistentvolumes claimRef"`,
      ])
    assert.equal(kills(all, 'points/router/after'), ['backup: kill router after "upload: POST uploads phase=New"'])
  },
)

runs('each process dies at ten moments of each stage, the same for the same seed', () => {
  const all = killsAtMoments(VICTIMS, SECONDS, 1)
  for (const victim of VICTIMS)
    for (const stage of STAGES) {
      const steps = all
        .flatMap((run) => run.steps)
        .filter((step) => step.stage === stage && 'kill' in step && step.kill === victim)
      assert.is(steps.length, 10, `${victim} in ${stage}`)
      const inTime = steps.every(
        (step) => 'afterMs' in step && step.afterMs >= 0 && step.afterMs <= SECONDS[stage] * 1000,
      )
      assert.ok(inTime)
    }
  assert.equal(all, killsAtMoments(VICTIMS, SECONDS, 1))
  assert.not.equal(all, killsAtMoments(VICTIMS, SECONDS, 2))
})

runs('a kill that a chain has skipped gets a run of its own, under an id that repeats it', () => {
  const [chain] = killsAtWritePoints(POINTS)
  const [first, second] = alone(chain!, chain!.steps.slice(0, 2))
  assert.is(first?.id, 'points/function/before/alone/snapshot: SOAP VslmCreateSnapshot_Task')
  assert.equal(first?.steps, chain!.steps.slice(0, 1))
  assert.equal(second?.steps, chain!.steps.slice(1, 2))
  assert.equal(alone({ id: 'x', steps: [{ stage: 'backup', afterMs: 1, kill: 's3' }] }), [], 'a moment always comes')
})

runs('kills that a chain has skipped are tried as a chain once more if there are many, and alone in the end', () => {
  const steps = ['a', 'b', 'c', 'd'].map((at): Step => ({ stage: 'backup', at, when: 'after', kill: 'etcd' }))
  const chain: CrashRun = { id: 'points/etcd/after', steps, sweepAlone: true }
  const [again, ...more] = leftOf(chain, steps)
  assert.equal([again, more], [{ id: 'points/etcd/after/again', steps, sweepAlone: true }, []])
  const last = leftOf(again!, steps)
  assert.equal(
    last.map(({ id }) => id),
    ['a', 'b', 'c', 'd'].map((at) => `points/etcd/after/alone/${at}`),
  )
  assert.equal(leftOf(chain, steps.slice(0, 1)), alone(chain, steps.slice(0, 1)), 'few: alone at once')
  assert.equal(leftOf(last[0]!, steps.slice(0, 1)), [], 'alone is the end of it')
  assert.equal(leftOf({ id: 'x', steps: [] }, [{ stage: 'backup', afterMs: 1, kill: 's3' }]), [])
})

runs('a run with one fault needs it to happen; a chain, or a run with moments, does not', () => {
  const [before] = killsAtWritePoints(POINTS)
  for (const run of [...serversAway(), ...alone(before!)]) assert.is(needsItsFaults(run), true, run.id)
  const moments = killsAtMoments(['s3'], { backup: 9, restore: 9, delete: 2 }, 1)
  for (const run of [before!, ...moments]) assert.is(needsItsFaults(run), false, run.id)
})

runs('vCenter and S3 are away for a minute, the API server for half of one, in each stage; ids are unique', () => {
  const away = serversAway()
  assert.equal(
    [...new Set(away.flatMap(({ steps }) => steps.map((one) => stepText(one).split(': ')[1])))],
    ['vcenter away for 60 s', 's3 away for 60 s', 'kubernetes away for 30 s'],
  )
  assert.is(away.length, 9)
  const all = [
    ...killsAtWritePoints(POINTS),
    ...killsAtMoments(VICTIMS, SECONDS, 1),
    ...away,
    ...clockJumps(),
    ...sweepAlone(POINTS),
  ]
  assert.is(new Set(all.map(({ id }) => id)).size, all.length)
  assert.ok(sweepAlone(POINTS).every((run) => run.sweepAlone === true))
})
runs.run()
