// A few minutes of `make crash-tests`: every process is killed once with -9, and the functions are killed at the most dangerous writes. Each run
// of a backup ends right all the same, with nothing left over, and another cluster beside it is untouched.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Bench, startBench } from '#test/crash/bench.ts'
import { crashRun } from '#test/crash/crash-run.ts'
import { type Step, stepText, type When } from '#test/crash/plan.ts'

const crash = suite('a selection of the crash tests')
let bench: Bench

crash.before(async () => {
  bench = await startBench()
})
crash.after(async () => {
  await bench.environment.stop()
})

/** Sealing, `Completed`, the removal of the local snapshot, the hand-over, and the deletion of the data. */
function deathsAtDangerousWrites(when: When): Step[] {
  return [
    { stage: 'backup', at: 'upload mover: PUT roots/', when, kill: 'function' },
    { stage: 'backup', at: 'upload: SOAP VslmDeleteSnapshot_Task', when, kill: 'caller' },
    { stage: 'backup', at: 'upload: PATCH uploads phase=Completed', when, kill: 'caller' },
    { stage: 'backup', at: 'upload: PATCH uploads step=done finalizers=0', when, kill: 'caller' },
    { stage: 'restore', at: 'clone: DELETE persistentvolumeclaims', when, kill: 'caller' },
    { stage: 'restore', at: 'clone: PATCH persistentvolumes claimRef', when, kill: 'caller' },
    { stage: 'delete', at: 'delete: DELETE roots/', when, kill: 'caller' },
  ]
}

const EACH_OTHER_PROCESS: Step[] = [
  { stage: 'backup', at: 'snapshot: SOAP VslmCreateSnapshot_Task', when: 'before', kill: 'etcd' },
  { stage: 'backup', at: 'snapshot: POST uploads phase=New', when: 'after', kill: 'router' },
  { stage: 'backup', at: 'upload mover: PUT packs/', when: 'after', kill: 's3' },
  { stage: 'restore', at: 'clone: POST downloads phase=New', when: 'before', kill: 'adapter' },
  {
    stage: 'delete',
    at: 'delete: PATCH deletesnapshots/status phase=InProgress',
    when: 'after',
    kill: 'kube-apiserver',
  },
]

const MOVER: Step[] = [{ stage: 'backup', at: 'upload mover: PUT checkpoint/', when: 'after', kill: 'caller' }]

async function assertLived(id: string, steps: Step[]): Promise<void> {
  const { happened, unmet } = await crashRun(bench, { id, steps })
  assert.equal(unmet.map(stepText), [], 'faults that never came')
  assert.is(happened.length, steps.length)
}

for (const when of ['before', 'after'] as const) {
  crash(`functions that die right ${when} the most dangerous writes`, async () => {
    await assertLived(`dangerous/${when}`, deathsAtDangerousWrites(when))
  })
}

crash('router, event sources, S3 server, etcd and API server, each killed at a write', async () => {
  await assertLived('each-process', EACH_OTHER_PROCESS)
})

crash('the process that holds VDDK, killed after a checkpoint', async () => {
  await assertLived('mover', MOVER)
})
crash.run()
