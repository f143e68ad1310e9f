// Prune of a repository whose survey does not fit into a slice: what a slice has found is kept, whichever process dies.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PruneReport } from '#shared/ports/mover.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { type PruneOptions, unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { access, CHUNK_BYTES, FCD } from '#test/support/engine-world.ts'
import { copyOf, type LongRepository, longRepository } from '#test/support/long-repository.ts'
import { keysOf, pausedSlice, prune, restores } from '#test/support/prune-world.ts'
import { dyingAt, HookedStore } from '#test/support/store-faults.ts'
import { CallClock, TickingStore } from '#test/support/ticking-store.ts'

const test = suite('engine: prune in slices')

/** The clock ticks once for each call to the store. */
const SLICE_CALLS = 60
const ground = longRepository(14)

type SliceOptions = Partial<PruneOptions> & { wrap?: (store: ObjectStore) => ObjectStore }

/** One slice, in a process of its own. */
async function slice({ repository, store }: LongRepository, options: SliceOptions = {}) {
  const clock = new CallClock()
  const { wrap = (inner: ObjectStore) => inner, ...change } = options
  const ticking = new TickingStore(wrap(store), () => clock.tick())
  const report = await prune({ ...repository, store: ticking }, { clock, sliceMs: SLICE_CALLS, ...change })
  return { report, calls: clock.calls }
}

/** Runs slices until prune ends; each has to make progress, so that their number is bounded. */
async function slicesOf(long: LongRepository, most: number, options: SliceOptions = {}): Promise<PruneReport[]> {
  const reports: PruneReport[] = []
  while (reports.at(-1)?.state !== 'done') {
    assert.ok(reports.length < most, `not through after ${most} slices: ${JSON.stringify(reports.at(-1)?.progress)}`)
    reports.push((await slice(long, options)).report)
  }
  return reports
}

async function assertPruned(long: LongRepository, doomed: readonly string[], what: string): Promise<void> {
  const gone = keysOf((await ground).store).filter((key) => !long.objects.has(key))
  assert.equal(gone, doomed, `${what}: exactly what no root reaches is gone`)
  assert.equal(await leftOver(long), [], what)
}

/** A killed process leaves a young probe object, which the prune of an hour later deletes. */
async function leftOver({ repository }: LongRepository): Promise<string[]> {
  return (await unreachableObjects(repository)).filter((key) => !key.startsWith('probe/'))
}

const doomedOf = async () => (await unreachableObjects((await ground).repository)).sort()
const isSurveying = ({ progress }: PruneReport) => progress.phase === 'survey'

test('a prune whose survey takes ten slices ends, and each slice says that it is further than the one before', async () => {
  const long = copyOf(await ground)
  const reports = await slicesOf(long, 40)
  const surveys = reports.filter((report) => report.state === 'more' && isSurveying(report))
  assert.ok(surveys.length >= 10, `${surveys.length} slices of survey`)
  const read = surveys.map(({ progress }) =>
    progress.phase === 'survey' ? progress.roots.done * 1000 + progress.pages.done : 0,
  )
  assert.equal(
    read,
    [...new Set(read)].sort((a, b) => a - b),
    'always further',
  )
  await assertPruned(long, await doomedOf(), 'in the end')
  for (const [root, content] of long.contents) assert.ok(await restores(long.world, root, content), root)
})

test('nothing is deleted before the survey is whole', async () => {
  const long = copyOf(await ground)
  for (let n = 0; n < 5; n++) {
    assert.ok(isSurveying((await slice(long)).report))
    assert.equal(
      keysOf((await ground).store).filter((key) => !long.objects.has(key)),
      [],
    )
  }
})

test('the next prune reads only what is new', async () => {
  const long = copyOf(await ground)
  await slicesOf(long, 40)
  long.times.nowMs += 3_600_000
  const { calls, report } = await slice(long, { sliceMs: 1e9 })
  assert.is(report.state, 'done')
  assert.ok(calls < 100, `${calls} calls`)
})

test('a short survey leaves no notes', async () => {
  const long = copyOf(await ground)
  await slice(long, { sliceMs: 1e6 })
  assert.equal(keysOf(long.store, 'reach/'), [])
})

test('a dry run writes no notes, and takes those that stand there', async () => {
  const long = copyOf(await ground)
  const before = keysOf(long.store)
  assert.is((await slice(long, { dryRun: true })).report.state, 'more')
  assert.equal(keysOf(long.store), before)
  for (let n = 0; n < 8; n++) await slice(long)
  const keys: string[] = []
  const { report, calls } = await slice(long, { dryRun: true, sliceMs: 1e9, onKey: (key) => keys.push(key) })
  assert.is(report.state, 'done')
  assert.ok(calls < 400, `${calls} calls`)
  assert.equal(keys.sort(), await doomedOf())
})

test('it survives being killed in each slice, at the end of its time or before', async () => {
  for (const calls of [60, 45]) {
    const long = copyOf(await ground)
    let killed = 0
    for (let n = 0; n < 90; n++) {
      let left = calls
      const wrap = (store: ObjectStore) =>
        new TickingStore(store, () => {
          if (left-- <= 0) throw new Error('killed')
        })
      const end = await slice(long, { wrap }).catch(() => 'killed' as const)
      if (end === 'killed') killed++
      else if (end.report.state === 'done') break
    }
    assert.ok(killed >= 10, `${killed} kills of ${calls} calls`)
    const reports = await slicesOf(long, 12)
    assert.ok(reports.filter(isSurveying).length <= 6, 'the killed ones have left notes')
    await assertPruned(long, await doomedOf(), `killed after ${calls} calls`)
  }
})

test('it survives being killed at each of its writes, of the notes and of the lists, before and after', async () => {
  const doomed = await doomedOf()
  for (const when of ['die before', 'die after'] as const) {
    const long = copyOf(await ground)
    let writes = 0
    // The first write of the first run, the second of the next one, …: each continues where the dead ones stopped.
    for (let n = 1; n <= 14; n++) {
      const wrap = (store: ObjectStore) => new HookedStore(store, dyingAt(1 + (n % 7), when))
      if ((await slice(long, { wrap }).catch(() => 'killed')) === 'killed') writes++
    }
    assert.ok(writes >= 5, `${writes} kills`)
    await slicesOf(long, 40)
    await assertPruned(long, doomed, when)
  }
})

test('backups are deleted and made between slices: what the new ones name stays, what no backup names goes', async () => {
  const long = copyOf(await ground)
  const roots = [...long.contents]
  const [parentRoot, content] = roots.at(-1)!
  const next = content.snapshot()
  const changedAreas = [{ offsetBytes: 0, lengthBytes: CHUNK_BYTES }]
  const session = await long.world.newSession('new')
  const request = { content: next, session, snapshotId: 'new', parentRoot, changedAreas }
  for (let n = 0; n < 3; n++) await slice(long)
  await pausedSlice(long.world, request)
  await slice(long)
  await long.world.repositories.forget(access, FCD, 's13') // its parent
  await slice(long)
  assert.is((await long.world.uploadSlice({ ...request, slice: 2 })).state, 'sealed')
  await slice(long)
  await long.world.repositories.forget(access, FCD, 's3')
  await slicesOf(long, 40)
  long.times.nowMs += 3_600_000
  await slicesOf(long, 40)
  assert.ok(await restores(long.world, `roots/${session}`, next))
  assert.equal(await unreachableObjects(long.repository), [])
  const standing = [...long.contents].filter(
    ([root]) => root !== parentRoot && long.objects.get(root)!.body[8] === 0x41,
  )
  assert.is(standing.length, 9)
  for (const [root, wanted] of standing) assert.ok(await restores(long.world, root, wanted), root)
})

test('a list whose packs take many slices to delete does not begin anew in each', async () => {
  const again = copyOf(await ground)
  for (const snapshot of ['s0', 's1', 's3', 's4']) await again.world.repositories.forget(access, FCD, snapshot)
  const deletes: string[] = []
  const wrap = (store: ObjectStore) =>
    new HookedStore(store, async ({ kind, key }) => {
      if (kind === 'delete' && key.startsWith('packs/')) deletes.push(key)
      return 'go on'
    })
  const reports = await slicesOf(again, 60, { wrap })
  assert.ok(reports.filter(({ progress }) => progress.phase === 'delete').length >= 2)
  assert.is(new Set(deletes).size, deletes.length, 'no pack is deleted twice')
})

test.run()
