// A restore by Velero, with any fault plan: Velero's claim is bound to whole data under the name that it waits for, or stays Pending.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { type FaultPlan, NO_FAULTS } from './fault-plan.ts'
import { assertNothingLeft } from './invariants.ts'
import { aBackup, aClone, aWaitingClaim, diskBytes, isDone } from './objects.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env['SEEDS'] ?? 20)
const BAD: FaultPlan = { drop: 0.3, double: 0.3, die: 0.05 }
/** Half of the processes have a clock that is an hour ahead or behind. */
const SKEWED: FaultPlan = { drop: 0, double: 0, die: 0, clocks: 0.5 }
const AWAITED = 'dormouse-awaited'

async function aBackedUpWorld(seed: number, plan: FaultPlan): Promise<{ world: World; snapshot: LooseObject }> {
  const world = new World(seed, plan)
  return { world, snapshot: await aBackup(world) }
}

const cloneIn = (world: World) => world.cluster.peek('CloneFromSnapshot', 'restored', 'clone-1')
const claimIn = (world: World) => world.cluster.peek('PersistentVolumeClaim', 'restored', 'data')

async function untilOver(world: World): Promise<void> {
  await world.run(() => isDone(cloneIn(world)) && world.cluster.peekAll('Download').every(isDone))
  await world.run(() => world.heldLeases.length === 0)
}

function assertClean(world: World): void {
  assert.equal(world.broken, [])
  assert.equal(world.errors, [])
  assertNothingLeft(world)
}

const runs = [[0, NO_FAULTS] as const, ...Array.from({ length: SEEDS }, (_, n) => [n + 1, BAD] as const)]
for (const [seed, plan] of runs) {
  test(`seed ${seed}: the claim is bound under the awaited name, to the bytes of the backup`, async () => {
    const { world, snapshot } = await aBackedUpWorld(seed, plan)
    aWaitingClaim(world, aClone(world, 'clone-1', snapshot, { awaits: AWAITED }))
    await untilOver(world)
    assert.is(cloneIn(world)?.['status']?.phase, 'Completed', world.describe())
    assert.equal([claimIn(world)?.['status']?.phase, claimIn(world)?.['spec']?.volumeName], ['Bound', AWAITED])
    const volume = world.cluster.peek('PersistentVolume', undefined, AWAITED)
    const { csi, persistentVolumeReclaimPolicy } = volume?.['spec'] ?? {}
    assert.is(persistentVolumeReclaimPolicy, 'Delete')
    const source = world.cluster.peek('PersistentVolume', undefined, 'pv-data')?.['spec']?.csi?.volumeHandle
    assert.ok(diskBytes(world, csi?.volumeHandle ?? '').equals(diskBytes(world, source!)))
    if (plan === NO_FAULTS) assert.is(world.rescues, 0)
    assertClean(world)
  })
}

for (const [seed, plan] of [
  [3, NO_FAULTS] as const,
  ...Array.from({ length: 6 }, (_, n) => [200 + n, SKEWED] as const),
])
  test(`seed ${seed}: Velero makes the claim late: it is waited for, whatever the clocks of the nodes say`, async () => {
    const { world, snapshot } = await aBackedUpWorld(seed, plan)
    const clone = aClone(world, 'clone-1', snapshot, { awaits: AWAITED })
    await world.run(() => cloneIn(world)?.['status']?.reason === 'ClaimNotThereYet')
    aWaitingClaim(world, clone)
    await untilOver(world)
    assert.is(cloneIn(world)?.['status']?.phase, 'Completed', world.describe())
    assertClean(world)
  })

test('Velero never makes the claim: the restore ends by name, and no disk was made', async () => {
  const { world, snapshot } = await aBackedUpWorld(4, NO_FAULTS)
  const disks = world.volumes.diskIds.length
  aClone(world, 'clone-1', snapshot, { awaits: AWAITED })
  await untilOver(world)
  assert.equal([cloneIn(world)?.['status']?.phase, cloneIn(world)?.['status']?.reason], ['Failed', 'ClaimNeverCreated'])
  assert.is(world.volumes.diskIds.length, disks)
  assertClean(world)
})

test('a claim that waits for something else is not touched', async () => {
  const { world, snapshot } = await aBackedUpWorld(5, NO_FAULTS)
  const other = aClone(world, 'other', snapshot, { awaits: 'dormouse-other' })
  await world.cluster.delete('CloneFromSnapshot', other)
  aWaitingClaim(world, other)
  const before = claimIn(world)
  aClone(world, 'clone-1', snapshot, { awaits: AWAITED })
  await untilOver(world)
  assert.equal([cloneIn(world)?.['status']?.phase, cloneIn(world)?.['status']?.reason], ['Failed', 'TargetExists'])
  assert.equal(claimIn(world), before)
  assertClean(world)
})

test('the name of the volume is taken: the restore ends by name, before anything is taken away', async () => {
  const { world, snapshot } = await aBackedUpWorld(6, NO_FAULTS)
  const theirs = world.volumes.createDisk(64 * KiB, { cbt: true })
  const claim = world.cluster.peek('PersistentVolumeClaim', 'app', 'data') as LooseObject
  world.csi.createVolume(AWAITED, claim, theirs)
  aWaitingClaim(world, aClone(world, 'clone-1', snapshot, { awaits: AWAITED }))
  await untilOver(world)
  assert.equal([cloneIn(world)?.['status']?.phase, cloneIn(world)?.['status']?.reason], ['Failed', 'VolumeNameTaken'])
  assert.ok(world.volumes.diskIds.includes(theirs))
  assert.is(claimIn(world)?.['status']?.phase, 'Pending')
  assertClean(world)
})

for (const name of ['pv-data', '../pods', 'dormouse-/x', '']) {
  test(`the name ${JSON.stringify(name)} is none that a restore makes`, async () => {
    const { world, snapshot } = await aBackedUpWorld(7, NO_FAULTS)
    aWaitingClaim(world, aClone(world, 'clone-1', snapshot, { awaits: name }))
    await untilOver(world)
    assert.equal(
      [cloneIn(world)?.['status']?.phase, cloneIn(world)?.['status']?.reason],
      ['Failed', 'VolumeNameInvalid'],
    )
    assertClean(world)
  })
}

test('a failed restore leaves the claim Pending, and an Event beside it says why', async () => {
  const { world, snapshot } = await aBackedUpWorld(8, NO_FAULTS)
  const clone = aClone(world, 'clone-1', snapshot, { awaits: AWAITED, storageClass: 'never' })
  aWaitingClaim(world, clone)
  await untilOver(world)
  assert.is(cloneIn(world)?.['status']?.reason, 'ClaimNeverBound')
  assert.is(claimIn(world)?.['status']?.phase, 'Pending')
  const events = world.cluster.peekAll('Event').filter(({ involvedObject }) => involvedObject.name === 'data')
  assert.equal(
    events.map(({ type, reason }) => [type, reason]),
    [['Warning', 'ClaimNeverBound']],
  )
  assertClean(world)
})

test.run()
