// A Download that was deleted is made anew over the same disk, which is not new any more.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { handOverOf, stagedVolumeOf } from '#shared/domain/staged-volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { assertNothingLeft } from './invariants.ts'
import { aBackup, aClone, diskBytes } from './objects.ts'
import { World } from './world.ts'

const cloneIn = (world: World) => world.cluster.peek('CloneFromSnapshot', 'restored', 'clone-1')
const downloadIn = (world: World) => world.cluster.peekAll('Download')[0]

async function tearOut(world: World, download: LooseObject): Promise<void> {
  const plain = { metadata: { name: download.metadata.name, namespace: 'velero' } } as LooseObject
  await world.cluster.patch('Download', plain, { metadata: { finalizers: null } })
  await world.cluster.delete('Download', plain)
}

async function untilOver(world: World): Promise<void> {
  await world.run(() => world.isQuiet())
  for (let turn = 0; turn < 4; turn++) await world.csi.play()
}

test('deleted without its finalizer while data was written: the next Download writes zeros, too, and the claim is whole', async () => {
  const world = new World(1)
  const snapshot = await aBackup(world)
  aClone(world, 'clone-1', snapshot)
  while (!(Number(downloadIn(world)?.['status']?.nextChunk) > 0)) await world.turn()
  const first = downloadIn(world) as LooseObject
  assert.is(stagedVolumeOf(first)?.zeroed, true)
  // Data that another backup of the same name would have left there.
  const fcdId = first['spec'].protectedEntityID.slice('ivd:'.length)
  world.volumes.write(fcdId, 512 * 1024, Buffer.alloc(64 * 1024, 7))
  await tearOut(world, first)
  await untilOver(world)
  assert.is(cloneIn(world)?.['status']?.phase, 'Completed', world.describe())
  assert.is(stagedVolumeOf(downloadIn(world) as LooseObject)?.zeroed, false)
  const source = world.cluster.peek('PersistentVolume', undefined, 'pv-data')?.['spec']?.csi?.volumeHandle
  assert.ok(diskBytes(world, fcdId).equals(diskBytes(world, source!)))
  assert.equal(world.broken, [])
  assertNothingLeft(world)
})

test('deleted in the hand-over: the Download stays until the claim has the volume', async () => {
  const world = new World(2)
  const snapshot = await aBackup(world)
  aClone(world, 'clone-1', snapshot)
  while (handOverOf(downloadIn(world) ?? ({ metadata: {} } as LooseObject)) === undefined) await world.turn()
  await world.cluster.delete('Download', downloadIn(world) as LooseObject)
  assert.ok(downloadIn(world), 'it is kept')
  await untilOver(world)
  assert.equal([cloneIn(world)?.['status']?.phase, downloadIn(world)], ['Completed', undefined])
  assertNothingLeft(world)
})

test('deleted without its finalizer in the hand-over: the restore ends with a reason, and its disk goes', async () => {
  const world = new World(3)
  const snapshot = await aBackup(world)
  aClone(world, 'clone-1', snapshot)
  const isReleased = () => world.cluster.peekAll('PersistentVolume').some(({ status }) => status?.phase === 'Released')
  while (!isReleased()) await world.turn()
  await tearOut(world, downloadIn(world) as LooseObject)
  await untilOver(world)
  const { phase, reason } = cloneIn(world)?.['status'] ?? {}
  // The run in progress may have handed the volume over before it noticed.
  assert.ok(phase === 'Completed' || reason === 'StagedVolumeUnknown', world.describe())
  assertNothingLeft(world)
})

test.run()
