// The backup that an upload starts from is lost; or it is deleted, and a prune ends, between the look of the handler and the start of its mover.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { conditionOf } from '#shared/domain/conditions.ts'
import { HOUR_MS, KiB, SECOND_MS } from '#shared/kernel/units.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import { createRepositories } from '#shared/repository/repositories.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access } from '#test/support/engine-world.ts'
import { noiseOf } from './choices.ts'
import { EngineMover } from './engine-mover.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { aSnapshot, aVolume, isDone } from './objects.ts'
import { World } from './world.ts'

const DAMAGED = 'EarlierBackupsDamaged'
const { upload } = EngineMover.prototype

/** Calls `before` when a mover is given a slice. It returns the slice's time; with 0 the slice is over before the mover reads anything. */
function intercept(before: (slice: number) => Promise<number>): void {
  EngineMover.prototype.upload = async function (request, options) {
    const sliceMs = await before(request.slice)
    const signal = sliceMs === 0 ? AbortSignal.abort() : options.signal
    return await upload.call(this, { ...request, sliceMs }, { ...options, signal })
  }
}

async function forgetTheOnlyBackup(world: World): Promise<void> {
  const store = new MemoryObjectStore({ objects: world.bucket.objects, location: 's3://bucket' })
  const repositories = createRepositories({ storeOf: () => store, clock: world.clock, sourceOf: blockSourceOf })
  const [root] = [...world.bucket.backups.values()]
  const { diskId, snapshotId } = blockSourceOf(root!, 'the only backup')
  assert.is(world.bucket.backups.size, 1)
  assert.is(await repositories.forget(access, diskId, snapshotId), true)
}

const isUploaded = (world: World, name: string) =>
  isDone(world.cluster.peek('Snapshot', 'app', name)) && world.cluster.peekAll('Upload').every(isDone)

test('a later slice names nothing that was retired when its session began, though parent and list are gone', async () => {
  const world = new World(3, NO_FAULTS)
  const fcdId = aVolume(world, 'data')
  world.volumes.write(fcdId, 0, noiseOf('data', 48 * KiB))
  const done = (name: string) => world.run(() => isUploaded(world, name))
  aSnapshot(world, 'first', 'data')
  await done('first')

  world.volumes.write(fcdId, 0, noiseOf('second', KiB))
  aSnapshot(world, 'second', 'data')
  // This session names packs of the first backup while prune is retiring them, so prune waits for it.
  // This session reads the retire lists while there are none, and seals in the same slice.
  intercept(async () => HOUR_MS)
  const packs = () => world.bucket.keyList.filter((key) => key.startsWith('packs/')).length
  const packsBefore = packs()
  while (packs() === packsBefore) await world.turn()
  await forgetTheOnlyBackup(world)
  await world.bucket.prune()
  const isRetiring = () => world.bucket.keyList.some((key) => key.startsWith('retire/'))
  assert.ok(isRetiring(), 'the list stands, and waits')
  await done('second')

  const slices: number[] = []
  intercept(async (slice) => {
    slices.push(slice)
    if (slices.length === 1) return 0
    await forgetTheOnlyBackup(world)
    await world.bucket.prune()
    return HOUR_MS
  })
  world.volumes.write(fcdId, 0, noiseOf('third', KiB))
  aSnapshot(world, 'third', 'data')
  await done('third')
  assert.is(slices.length, 2, 'it goes on in its second slice, and sends nothing twice')
  assert.is(world.cluster.peek('Snapshot', 'app', 'third')?.['status']?.phase, 'Uploaded', world.describe())
  assert.equal(world.broken, [])
  assert.equal(world.errors, [])
  await world.bucket.prune(true)
  assert.equal(await world.bucket.unreachable(), [])
})

test('a parent that is gone before the next slice costs another parent and no second session', async () => {
  const world = new World(5, NO_FAULTS)
  EngineMover.prototype.upload = upload
  const fcdId = aVolume(world, 'data')
  world.volumes.write(fcdId, 0, noiseOf('data', 256 * KiB))
  aSnapshot(world, 'first', 'data')
  await world.run(() => isUploaded(world, 'first'))
  const slices: { session: string; parentRoot: string | undefined }[] = []
  EngineMover.prototype.upload = async function (request, options) {
    slices.push(request)
    const isFirst = slices.length === 1
    const outcome = await upload.call(this, isFirst ? { ...request, sliceMs: 8 * SECOND_MS } : request, options)
    if (isFirst) await forgetTheOnlyBackup(world)
    return outcome
  }
  world.volumes.write(fcdId, 0, noiseOf('second', 256 * KiB))
  aSnapshot(world, 'second', 'data')
  await world.run(() => isUploaded(world, 'second'))
  assert.is(world.cluster.peek('Snapshot', 'app', 'second')?.['status']?.phase, 'Uploaded', world.describe())
  assert.ok(slices.length > 1)
  assert.equal(
    [...new Set(slices.map(({ session }) => session))],
    [slices[0]?.session],
    'it goes on from its checkpoint',
  )
  assert.ok(slices[0]?.parentRoot !== undefined)
  assert.is(slices.at(-1)?.parentRoot, undefined, 'no other backup stands')
  const named = world.cluster.peekAll('Upload').map((each) => each['status']?.parentRoot)
  assert.not.ok(named.includes(slices[0]?.parentRoot), 'the Upload names it no more')
  assert.equal(world.broken, [])
  assert.equal(world.errors, [])
  assert.is(world.bucket.backups.size, 1)
})

test('a pack of the first backup is lost: the next one is whole, and its Upload says what has happened', async () => {
  EngineMover.prototype.upload = upload
  const world = new World(4, NO_FAULTS)
  const fcdId = aVolume(world, 'data')
  world.volumes.write(fcdId, 0, noiseOf('data', 256 * KiB))
  aSnapshot(world, 'first', 'data')
  await world.run(() => isUploaded(world, 'first'))
  const [lost] = world.bucket.keyList.filter((key) => key.startsWith('packs/'))
  world.bucket.objects.delete(lost!)
  // Whichever pack is lost, the first backup's other data is still needed.
  world.volumes.write(fcdId, 512 * KiB, noiseOf('second', KiB))
  aSnapshot(world, 'second', 'data')
  await world.run(() => isUploaded(world, 'second'))
  // Each root is restored when it is written; `broken` names a root that does not give the bytes of its disk snapshot.
  assert.equal(world.broken, [])
  const damage = world.cluster.peekAll('Upload').map((each) => conditionOf(each['status']?.conditions, DAMAGED))
  assert.equal(damage.map((condition) => condition?.reason).sort(), ['PackMissing', undefined])
  assert.is(world.bucket.backups.size, 2)
})

test.after(() => {
  EngineMover.prototype.upload = upload
})
test.run()
