// A backup, a restore and a deletion, with seeded orders, lost and doubled events, and deaths at any write: they always end right.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import { type FaultPlan, NO_FAULTS } from './fault-plan.ts'
import { assertNothingLeft } from './invariants.ts'
import { aClone, aDelete, aSnapshot, aVolume, diskBytes, isDone } from './objects.ts'
import { World } from './world.ts'

const BAD: FaultPlan = { drop: 0.3, double: 0.3, die: 0.04 }
const SEEDS = Number(process.env['SEEDS'] ?? 20)

function snapshot(world: World, name: string): LooseObject {
  const found = world.cluster.peek('Snapshot', 'app', name)
  assert.ok(found, `Snapshot ${name} is gone`)
  return found
}

async function backUp(world: World, name: string): Promise<void> {
  aSnapshot(world, name, 'data')
  await world.run(
    () => isDone(world.cluster.peek('Snapshot', 'app', name)) && world.cluster.peekAll('Upload').every(isDone),
  )
  assert.is(snapshot(world, name)['status'].phase, 'Uploaded', world.describe())
}

async function restore(world: World, name: string, from: string, wanted: Buffer): Promise<void> {
  aClone(world, name, snapshot(world, from))
  const done = () => isDone(world.cluster.peek('CloneFromSnapshot', 'restored', name))
  await world.run(() => done() && world.cluster.peekAll('Download').every(isDone))
  const clone = world.cluster.peek('CloneFromSnapshot', 'restored', name)
  assert.is(clone?.['status']?.phase, 'Completed', world.describe())
  const claim = world.cluster.peek('PersistentVolumeClaim', 'restored', 'data')
  assert.is(claim?.['status']?.phase, 'Bound')
  assert.is(claim?.metadata.labels?.['app'], 'db')
  const fcdId = String(clone?.['status']?.resourceHandle?.name?.slice('ivd:'.length))
  assert.ok(diskBytes(world, fcdId).equals(wanted), 'the restored bytes are those of the backup')
}

/** Makes two backups, restores the first, and then deletes it. */
async function runThrough(world: World): Promise<void> {
  const fcdId = aVolume(world, 'data')
  world.volumes.write(fcdId, 64 * KiB, noiseOf('first', 64 * KiB))
  const first = diskBytes(world, fcdId)
  await backUp(world, 'snap-1')
  world.volumes.write(fcdId, 256 * KiB, noiseOf('second', 32 * KiB))
  await backUp(world, 'snap-2')
  await restore(world, 'clone-1', 'snap-1', first)
  aDelete(world, 'delete-1', snapshot(world, 'snap-1'))
  await world.run(() => isDone(world.cluster.peek('DeleteSnapshot', 'velero', 'delete-1')))
  await world.run(() => world.heldLeases.length === 0)
  assert.is(world.cluster.peek('DeleteSnapshot', 'velero', 'delete-1')?.['status']?.phase, 'Completed')
  assert.is(world.bucket.backups.size, 1, 'the second backup is kept, the first is forgotten')
  assert.equal(world.broken, [])
  assert.equal(world.errors, [])
  assertNothingLeft(world)
}

test('without faults the events alone do it: no rescue', async () => {
  const world = new World(1, NO_FAULTS)
  await runThrough(world)
  assert.is(world.rescues, 0)
})

test('with no event at all the sweep does it, and counts its rescues', async () => {
  const world = new World(2, NO_FAULTS)
  world.eventsOn = false
  await runThrough(world)
  assert.ok(world.rescues >= 6, `${world.rescues} rescues`)
})

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`seed ${seed}: lost, doubled and reordered events, and deaths at any write`, async () => {
    await runThrough(new World(seed, BAD))
  })
}

test.run()
