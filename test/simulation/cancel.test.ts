// A cancel at any moment. By the sweep alone it takes effect within 75 s, and at once while a slice runs. Nothing is left.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KindName } from '#shared/api/kinds.ts'
import { stepOf } from '#shared/domain/step-label.ts'
import { KiB, SECOND_MS } from '#shared/kernel/units.ts'
import { checkpointPrefix } from '#shared/repository/format/names.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { assertNothingLeft } from './invariants.ts'
import { aClone, aDelete, aSnapshot, aVolume, isDone } from './objects.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env['SEEDS'] ?? 10)
const BY_SWEEP_MS = 75 * SECOND_MS
/** 10 s for the cancel, plus the slowest call of this simulation: the slice finishes its chunk first. */
const WHILE_RUNNING_MS = 15 * SECOND_MS
/** Another pod that moved an earlier slice keeps the disk snapshot open for up to 45 s: vCenter refuses to remove it, twice at most. */
const HELD_ELSEWHERE_MS = 240 * SECOND_MS

type Job = { kind: KindName; namespace: string; name: string; field: string; transfer: 'Upload' | 'Download' }
const BACKUP: Job = { kind: 'Snapshot', namespace: 'app', name: 's', field: 'snapshotCancel', transfer: 'Upload' }
const RESTORE: Job = {
  kind: 'CloneFromSnapshot',
  namespace: 'restored',
  name: 'c',
  field: 'cloneCancel',
  transfer: 'Download',
}

const read = (world: World, { kind, namespace, name }: Job) => world.cluster.peek(kind, namespace, name) as LooseObject
const transferOf = (world: World, job: Job) =>
  world.cluster.peekAll(job.transfer).find((each) => JSON.stringify(each['spec']).includes(`/${job.name}"`))

const stagingClaims = (world: World) =>
  world.cluster
    .peekAll('PersistentVolumeClaim')
    .map(({ metadata }) => metadata.name)
    .filter((name) => name.startsWith('dormouse-'))

async function begin(world: World, job: Job): Promise<void> {
  world.volumes.write(aVolume(world, 'data'), 64 * KiB, noiseOf('data', 512 * KiB))
  aSnapshot(world, job === BACKUP ? job.name : 'whole', 'data')
  if (job === BACKUP) return
  await world.run(() => isDone(world.cluster.peek('Snapshot', 'app', 'whole')))
  aClone(world, job.name, world.cluster.peek('Snapshot', 'app', 'whole') as LooseObject)
}

/**
 * Asks for the cancel at the first time that `moment` is true, and runs until the object is over. Returns how long that took in
 * milliseconds; 0 if the object was over before.
 */
async function cancelAt(world: World, job: Job, moment: () => boolean): Promise<number> {
  let askedMs = Number.POSITIVE_INFINITY
  let endedMs = 0
  const stayed: string[] = []
  let asking: Promise<unknown> = Promise.resolve()
  // Note the end when it is written: between two checks of `run` the clock may jump.
  const stop = world.cluster.onWrite((kind, before, after) => {
    if (kind !== job.kind || after?.metadata.name !== job.name || !isDone(after) || isDone(before)) return
    endedMs = world.clock.nowMs()
    if (after['status'].phase === 'Canceled') stayed.push(...stagingClaims(world))
  })
  await world.run(() => {
    if (askedMs === Number.POSITIVE_INFINITY && !isDone(read(world, job)) && moment()) {
      askedMs = world.clock.nowMs()
      asking = world.cluster.patch(job.kind, read(world, job), { spec: { [job.field]: true } })
    }
    return isDone(read(world, job))
  })
  await asking
  stop()
  assert.equal(stayed, [], 'Canceled means that its claim is gone')
  return Math.max(0, endedMs - askedMs)
}

/** The returned function says whether vCenter has refused to remove a snapshot so far. */
function noteRefusals(world: World): () => boolean {
  let refused = false
  world.cluster.onWrite((kind, _before, after) => {
    if (kind === 'Upload' && after?.['status']?.reason === 'TaskFailed') refused = true
  })
  return () => refused
}

function assertCancelled(world: World, job: Job): void {
  const phase = read(world, job)['status'].phase
  const transfer = transferOf(world, job)?.['status']
  if (phase === 'Canceled') {
    const wanted = job === BACKUP ? 'Canceled' : 'Failed'
    assert.ok(transfer === undefined || transfer.phase === wanted, world.describe())
    assert.ok(transfer === undefined || transfer.reason === 'Canceled', world.describe())
  } else assert.ok(['Uploaded', 'Completed'].includes(phase), `too late is an end, too: ${world.describe()}`)
  if (job === RESTORE && phase === 'Canceled')
    assert.equal(
      world.cluster.peekAll('PersistentVolumeClaim').map(({ metadata }) => metadata.name),
      ['data'],
      'no claim of the restore is left',
    )
  assert.equal(world.broken, [])
  assert.equal(world.errors, [])
}

for (const job of [BACKUP, RESTORE]) {
  for (let seed = 1; seed <= SEEDS; seed++) {
    test(`seed ${seed}: a cancelled ${job.kind} is over within 75 s by the sweep alone`, async () => {
      const world = new World(seed)
      world.eventsOn = false
      await begin(world, job)
      const momentMs = world.clock.nowMs() + world.choices.below('moment of the cancel', 240) * SECOND_MS
      const tookMs = await cancelAt(world, job, () => world.clock.nowMs() >= momentMs)
      assert.ok(tookMs <= BY_SWEEP_MS, `it took ${tookMs / SECOND_MS} s`)
      await world.run(() => world.cluster.peekAll(job.transfer).every(isDone))
      assertCancelled(world, job)
      assertNothingLeft(world)
    })

    test(`seed ${seed}: a cancelled ${job.kind} is over at once while a slice runs`, async () => {
      const world = new World(seed)
      const isHeldElsewhere = noteRefusals(world)
      await begin(world, job)
      const tookMs = await cancelAt(world, job, () => {
        const transfer = transferOf(world, job)
        return transfer !== undefined && stepOf(transfer) === 'running' && world.choices.chance('cancel now', 0.2)
      })
      const limitMs = isHeldElsewhere() ? HELD_ELSEWHERE_MS : WHILE_RUNNING_MS
      assert.ok(tookMs <= limitMs, `it took ${tookMs / SECOND_MS} s: ${world.describe()}`)
      await world.run(() => world.cluster.peekAll(job.transfer).every(isDone))
      assertCancelled(world, job)
      assertNothingLeft(world)
    })

    test(`seed ${seed}: a cancelled ${job.kind} ends also when events are lost and processes die`, async () => {
      const world = new World(seed, { drop: 0.3, double: 0.3, die: 0.02, latencyTurns: 2 })
      await begin(world, job)
      const momentMs = world.clock.nowMs() + world.choices.below('moment of the cancel', 90) * SECOND_MS
      await cancelAt(world, job, () => world.clock.nowMs() >= momentMs)
      await world.run(() => world.cluster.peekAll('Upload').every(isDone))
      await world.run(() => world.cluster.peekAll('Download').every(isDone))
      await world.run(() => world.heldLeases.length === 0)
      assertCancelled(world, job)
      assertNothingLeft(world)
    })
  }
}

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`seed ${seed}: a deletion of a running backup is Completed only after the backup has stopped`, async () => {
    const world = new World(seed)
    await begin(world, BACKUP)
    const early: string[] = []
    world.cluster.onWrite((kind, before, after) => {
      const isEnd = kind === 'DeleteSnapshot' && after?.['status']?.phase === 'Completed'
      const upload = transferOf(world, BACKUP)?.['status']?.phase
      if (isEnd && before?.['status']?.phase !== 'Completed' && upload !== 'Canceled') early.push(upload!)
    })
    const deletion = () => world.cluster.peek('DeleteSnapshot', 'velero', 'd')
    await world.run(() => {
      const isAtWork = transferOf(world, BACKUP)?.['status']?.phase === 'InProgress'
      if (deletion() === undefined && isAtWork) aDelete(world, 'd', read(world, BACKUP))
      return isDone(deletion())
    })
    await world.run(() => isDone(read(world, BACKUP)))
    assert.equal(early, [])
    assert.is(deletion()?.['status']?.phase, 'Completed')
    assert.is(read(world, BACKUP)['status'].phase, 'Canceled')
    assertNothingLeft(world)
  })
}

/** For each Upload that ended as Canceled: whether it says that the next backup continues from it, and whether it has a checkpoint then. */
async function saidAndLeft(seed: number): Promise<{ says: boolean; stands: boolean }[]> {
  const world = new World(seed, { ...NO_FAULTS, die: 0.1 })
  await begin(world, BACKUP)
  const ends: { says: boolean; stands: boolean }[] = []
  world.cluster.onWrite((kind, before, after) => {
    const isEnd = after?.['status']?.phase === 'Canceled' && before?.['status']?.phase !== 'Canceled'
    if (kind !== 'Upload' || !isEnd) return
    const { message, session } = after['status']
    const stands =
      session !== undefined && world.bucket.keyList.some((key) => key.startsWith(checkpointPrefix(session)))
    ends.push({ says: message.includes('goes on from what it had stored'), stands })
  })
  const waitMs = world.choices.below('moment of the cancel', 20) * SECOND_MS
  let begunMs = Number.POSITIVE_INFINITY
  await cancelAt(world, BACKUP, () => {
    if (Number(transferOf(world, BACKUP)?.['status']?.slice) >= 1) begunMs = Math.min(begunMs, world.clock.nowMs())
    return world.clock.nowMs() >= begunMs + waitMs
  })
  await world.run(() => world.cluster.peekAll('Upload').every(isDone))
  return ends
}

test('a cancelled backup says that the next one continues from it if it has a checkpoint, and only then', async () => {
  const ends: { says: boolean; stands: boolean }[] = []
  for (let seed = 1; seed <= 40; seed++) ends.push(...(await saidAndLeft(seed)))
  const of = (stands: boolean) => ends.filter((end) => end.stands === stands)
  assert.ok(of(true).length > 2 && of(false).length > 2, 'both were seen')
  assert.equal([of(true).every(({ says }) => says), of(false).some(({ says }) => says)], [true, false])
})

test.run()
