// Objects that disappear while others wait for them, finalizer and all, as after a `kubectl patch` by a user: what waits for them still ends.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '#shared/kernel/units.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { aSnapshot, aVolume } from './objects.ts'
import { World } from './world.ts'

async function untilUploading(world: World): Promise<void> {
  world.volumes.write(aVolume(world, 'data'), 0, noiseOf('data', 384 * KiB))
  aSnapshot(world, 'snap', 'data')
  while (phase(world) !== 'Uploading') await world.turn()
}

function phase(world: World): string {
  return world.cluster.peek('Snapshot', 'app', 'snap')?.['status']?.phase ?? ''
}

async function vanish(world: World): Promise<void> {
  const [upload] = world.cluster.peekAll('Upload')
  if (upload === undefined) throw new Error('there is no Upload')
  const { resourceVersion, ...metadata } = upload.metadata
  await world.cluster.patch('Upload', { ...upload, metadata }, { metadata: { finalizers: null } })
  await world.cluster.delete('Upload', { ...upload, metadata })
}

test('a backup whose Upload vanished is completed by another Upload', async () => {
  const world = new World(1, NO_FAULTS)
  await untilUploading(world)
  await vanish(world)
  await world.run(() => world.isQuiet())
  assert.is(phase(world), 'Uploaded', world.describe())
  assert.equal(world.broken, [])
})

test('a cancel whose Upload vanished ends as Canceled, and its disk snapshot goes', async () => {
  const world = new World(2, NO_FAULTS)
  await untilUploading(world)
  const { metadata } = world.cluster.peek('Snapshot', 'app', 'snap')!
  const seen = { metadata: { namespace: metadata.namespace, name: metadata.name } } as never
  await world.cluster.patchStatus('Snapshot', seen, { phase: 'Canceling' })
  await vanish(world)
  await world.run(() => world.isQuiet() && world.claimLeases.length === 0)
  assert.is(phase(world), 'Canceled', world.describe())
  assert.equal(world.bucket.backups.size, 0)
  assert.equal(
    world.volumes.diskIds.flatMap((fcdId) => world.volumes.snapshotsOf(fcdId)),
    [],
  )
  // Only the next prune can fence its session, because the session's id is gone with the Upload.
})

/** `change`: what happens to the claim, or to the Snapshot's reference to it, before any function has read either. */
async function cancelledAtOnce(seed: number, change: (world: World) => Promise<void>): Promise<World> {
  const world = new World(seed, NO_FAULTS)
  aVolume(world, 'data')
  aSnapshot(world, 'snap', 'data')
  await change(world)
  const cancel = { spec: { snapshotCancel: true } }
  await world.cluster.patch('Snapshot', { metadata: { namespace: 'app', name: 'snap' } } as never, cancel)
  await world.run(() => world.isQuiet() && world.claimLeases.length === 0)
  return world
}

test('a Snapshot that is cancelled before it began ends, also when its claim is gone', async () => {
  const world = await cancelledAtOnce(3, async ({ cluster }) => {
    await cluster.delete('PersistentVolumeClaim', cluster.peek('PersistentVolumeClaim', 'app', 'data')!)
  })
  assert.is(phase(world), 'Canceled', world.describe())
})

test('a cancelled Snapshot whose claim has an impossible name ends as well', async () => {
  const world = await cancelledAtOnce(4, async ({ cluster }) => {
    const handle = { spec: { resourceHandle: { name: '../data' } } }
    await cluster.patch('Snapshot', { metadata: { namespace: 'app', name: 'snap' } } as never, handle)
  })
  assert.is(phase(world), 'Canceled', world.describe())
})

test.run()
