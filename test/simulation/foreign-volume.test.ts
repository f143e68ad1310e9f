// Restores beside free volumes that Kubernetes would bind instead of a new one. Dormouse never writes or deletes such a volume, and no claim
// keeps it. The restore is whole, or fails with a reason of its own.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { CLONE_LABEL } from '#shared/domain/staging.ts'
import { KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import { NEVER_BINDS, WAITS } from './csi-driver.ts'
import { type FaultPlan, NO_FAULTS } from './fault-plan.ts'
import { type FreeOptions, FreeVolume } from './free-volume.ts'
import { assertNothingLeft } from './invariants.ts'
import { aBackup, aClone, aWaitingClaim, diskBytes, isDone, SIZE_BYTES } from './objects.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env['SEEDS'] ?? 6)
const BAD: FaultPlan = { drop: 0.3, double: 0.3, die: 0.05, latencyTurns: 4 }

const cloneIn = (world: World) => world.cluster.peek('CloneFromSnapshot', 'restored', 'clone-1')

async function untilOver(world: World): Promise<void> {
  await world.run(() => isDone(cloneIn(world)) && world.cluster.peekAll('Download').every(isDone))
  await world.run(() => world.heldLeases.length === 0)
  for (let turn = 0; turn < 4; turn++) await world.csi.play()
}

function assertEnd(world: World, phase: string, reason: string): void {
  assert.equal(
    [cloneIn(world)?.['status']?.phase, cloneIn(world)?.['status']?.reason],
    [phase, reason],
    world.describe(),
  )
  assert.equal(world.broken, [])
  assert.equal(world.errors, [])
  assertNothingLeft(world)
}

function assertWhole(world: World, claimName = 'data'): void {
  assertEnd(world, 'Completed', 'Completed')
  const claim = world.cluster.peek('PersistentVolumeClaim', 'restored', claimName)
  const volume = world.cluster.peek('PersistentVolume', undefined, claim?.['spec'].volumeName ?? '')
  const source = world.cluster.peek('PersistentVolume', undefined, 'pv-data')?.['spec']?.csi?.volumeHandle
  assert.ok(diskBytes(world, volume?.['spec']?.csi?.volumeHandle ?? '').equals(diskBytes(world, source!)))
}

const BESIDE: [text: string, storageClass: string, volume: FreeOptions, end: string][] = [
  ['binds at once, of the same size', 'fast', {}, 'FittingVolumeExists'],
  ['binds at once, larger', 'fast', { sizeBytes: 2 * SIZE_BYTES }, 'FittingVolumeExists'],
  ['binds at once, smaller', 'fast', { sizeBytes: SIZE_BYTES / 2 }, 'Completed'],
  ['binds at once, of another class', 'fast', { storageClass: WAITS }, 'Completed'],
  ['binds at once, of no class', 'fast', { storageClass: '' }, 'Completed'],
  ['waits, of the same size', WAITS, { storageClass: WAITS }, 'Completed'],
  ['waits, larger', WAITS, { storageClass: WAITS, sizeBytes: 2 * SIZE_BYTES }, 'Completed'],
  ['is "", of the same class', '', { storageClass: '' }, 'StorageClassMissing'],
]
for (const [text, storageClass, options, end] of BESIDE) {
  test(`a free volume, and a class that ${text}: ${end}, and the volume is never touched`, async () => {
    const world = new World(1)
    const snapshot = await aBackup(world)
    const free = new FreeVolume(world, 'pool-1', options)
    aClone(world, 'clone-1', snapshot, { storageClass })
    await untilOver(world)
    free.assertAsBefore()
    assert.is(free.writes, 0)
    if (end === 'Completed') assertWhole(world)
    else assertEnd(world, 'Failed', end)
  })
}

test("Velero's claim waits beside a free volume that fits: the restore fails by name, and the claim stays Pending", async () => {
  const world = new World(2)
  const snapshot = await aBackup(world)
  const free = new FreeVolume(world, 'pool-1')
  aWaitingClaim(world, aClone(world, 'clone-1', snapshot, { awaits: 'dormouse-awaited' }))
  await untilOver(world)
  free.assertAsBefore()
  assertEnd(world, 'Failed', 'FittingVolumeExists')
  assert.is(world.cluster.peek('PersistentVolumeClaim', 'restored', 'data')?.['status']?.phase, 'Pending')
})

test('a restore waits for another claim to take the free volume, and then goes on', async () => {
  const world = new World(3)
  const snapshot = await aBackup(world)
  new FreeVolume(world, 'pool-1')
  aClone(world, 'clone-1', snapshot)
  await world.run(() => cloneIn(world)?.['status']?.reason === 'FittingVolumeExists')
  const volume = world.cluster.peek('PersistentVolume', undefined, 'pool-1') as LooseObject
  await world.cluster.patch('PersistentVolume', volume, { spec: { claimRef: { namespace: 'app', name: 'theirs' } } })
  await untilOver(world)
  assertWhole(world)
})

async function cloneWithoutClass(world: World): Promise<void> {
  const snapshot = await aBackup(world)
  const stored = decodeClaimMetadata(snapshot['status'].metadata)
  delete stored['spec'].storageClassName
  aClone(world, 'clone-1', { ...snapshot, status: { ...snapshot['status'], metadata: encodeClaimMetadata(stored) } })
}

test('a claim without a class gets the default one, by name', async () => {
  const world = new World(4)
  const fast = world.cluster.peek('StorageClass', undefined, 'fast') as LooseObject
  const annotations = { 'storageclass.kubernetes.io/is-default-class': 'true' }
  await world.cluster.patch('StorageClass', fast, { metadata: { annotations } })
  await cloneWithoutClass(world)
  await untilOver(world)
  assertWhole(world)
  assert.is(world.cluster.peek('PersistentVolumeClaim', 'restored', 'data')?.['spec'].storageClassName, 'fast')
})

test('a claim without a class, and no default: the restore fails by name, and binds nothing', async () => {
  const world = new World(5)
  const free = new FreeVolume(world, 'pool-1', { storageClass: '' })
  await cloneWithoutClass(world)
  await untilOver(world)
  free.assertAsBefore()
  assertEnd(world, 'Failed', 'StorageClassMissing')
})

test('a class of another driver is refused before a claim is made', async () => {
  const world = new World(6)
  const snapshot = await aBackup(world)
  world.cluster.seed('StorageClass', {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: 'local' },
    provisioner: 'kubernetes.io/no-provisioner',
    volumeBindingMode: 'WaitForFirstConsumer',
  })
  aClone(world, 'clone-1', snapshot, { storageClass: 'local' })
  await untilOver(world)
  assertEnd(world, 'Failed', 'DriverUnsupported')
})

/** A volume that becomes free at the moment at which the staging claim is made. */
function freeInTheRace(world: World, options: FreeOptions): () => FreeVolume {
  let free: FreeVolume | undefined
  world.cluster.onWrite((kind, before, after) => {
    const isStaging =
      kind === 'PersistentVolumeClaim' && before === undefined && after?.metadata.name.startsWith('dormouse-')
    if (isStaging && free === undefined) free = new FreeVolume(world, 'pool-1', options)
  })
  return () => {
    assert.ok(free, 'no staging claim was made')
    return free
  }
}

for (const policy of ['Delete', 'Retain']) {
  for (const [seed, plan] of [
    [0, NO_FAULTS] as const,
    ...Array.from({ length: SEEDS }, (_, n) => [n + 1, BAD] as const),
  ]) {
    test(`seed ${seed}: a volume (${policy}) that is bound to the staging claim all the same keeps its data, and no claim gets it`, async () => {
      const world = new World(seed, plan)
      const snapshot = await aBackup(world)
      const free = freeInTheRace(world, { policy })
      aClone(world, 'clone-1', snapshot)
      await untilOver(world)
      free().assertKept()
      // A run that died after it had freed the volume, and before it wrote the Event, begins anew.
      if (plan !== NO_FAULTS && cloneIn(world)?.['status']?.phase === 'Completed') assertWhole(world)
      else assertEnd(world, 'Failed', 'VolumeNotNew')
    })

    test(`seed ${seed}: the same holds for a volume (${policy}) whose restore is cancelled or deleted meanwhile`, async () => {
      const world = new World(seed, plan)
      const snapshot = await aBackup(world)
      const free = freeInTheRace(world, { policy })
      aClone(world, 'clone-1', snapshot)
      await world.run(
        () => world.cluster.peek('PersistentVolume', undefined, 'pool-1')?.['spec'].claimRef !== undefined,
      )
      for (let turns = world.choices.below('turns before the cancel', 30); turns > 0; turns--) await world.turn()
      await world.cluster.patch(
        'CloneFromSnapshot',
        { metadata: { namespace: 'restored', name: 'clone-1' } } as LooseObject,
        {
          spec: { cloneCancel: true },
        },
      )
      await untilOver(world)
      free().assertKept()
      assert.ok(['Failed', 'Canceled'].includes(cloneIn(world)?.['status']?.phase ?? ''), world.describe())
      assertNothingLeft(world)
    })
  }
}

function aClaimInOurName(world: World, clone: LooseObject, spec: object, status: object = { phase: 'Pending' }): void {
  world.cluster.seed('PersistentVolumeClaim', {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: `dormouse-${clone.metadata.uid}`,
      namespace: 'restored',
      labels: { [CLONE_LABEL]: clone.metadata.uid ?? '' },
    },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '640Ki' } }, ...spec },
    status,
  })
}

test("a claim that a tenant makes in the staging claim's name and binds to a free volume: nothing is written to it", async () => {
  const world = new World(8)
  const snapshot = await aBackup(world)
  const free = new FreeVolume(world, 'pool-1')
  const clone = aClone(world, 'clone-1', snapshot)
  aClaimInOurName(world, clone, { storageClassName: 'fast', volumeName: 'pool-1' })
  await untilOver(world)
  free.assertKept()
  assertEnd(world, 'Failed', 'VolumeNotNew')
})

test('a free volume that a tenant has bound in that name and written to is not free again', async () => {
  const world = new World(5)
  const snapshot = await aBackup(world)
  new FreeVolume(world, 'pool-1', { policy: 'Retain' })
  const clone = aClone(world, 'clone-1', snapshot)
  aClaimInOurName(world, clone, { storageClassName: 'fast', volumeName: 'pool-1' }, { phase: 'Bound' })
  const name = `dormouse-${clone.metadata.uid}`
  const { uid } = world.cluster.peek('PersistentVolumeClaim', 'restored', name)?.metadata ?? {}
  const volume = () => world.cluster.peek('PersistentVolume', undefined, 'pool-1') as LooseObject
  const claimRef = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: 'restored', name, uid }
  await world.cluster.patch('PersistentVolume', volume(), { spec: { claimRef }, status: { phase: 'Bound' } })
  world.volumes.write(volume()['spec'].csi.volumeHandle, 0, noiseOf('a crafted file system', 64 * KiB))
  await untilOver(world)
  assertEnd(world, 'Failed', 'VolumeNotNew')
  assert.equal([volume()['status'].phase, volume()['spec'].claimRef.uid], ['Released', uid])
  const events = world.cluster.peekAll('Event').filter(({ reason }) => reason === 'VolumeKept')
  assert.equal(
    events.map(({ involvedObject }) => involvedObject.name),
    ['pool-1'],
  )
})

test("a claim in that name that says it is bound to app's volume: the volume is not touched", async () => {
  const world = new World(9)
  const snapshot = await aBackup(world)
  const volume = world.cluster.peek('PersistentVolume', undefined, 'pv-data')
  const clone = aClone(world, 'clone-1', snapshot)
  aClaimInOurName(world, clone, { storageClassName: 'fast', volumeName: 'pv-data' }, { phase: 'Bound' })
  await untilOver(world)
  assert.equal(world.cluster.peek('PersistentVolume', undefined, 'pv-data'), volume)
  assertEnd(world, 'Failed', 'VolumeNotNew')
})

test("a claim of the staging claim's name that gets a new volume is used like our own", async () => {
  const world = new World(10)
  const snapshot = await aBackup(world)
  const clone = aClone(world, 'clone-1', snapshot)
  aClaimInOurName(world, clone, { storageClassName: 'fast' })
  await untilOver(world)
  assertWhole(world)
})

test('an unbound staging claim beside a volume that is free too late is given up without harm', async () => {
  const world = new World(11)
  const snapshot = await aBackup(world)
  aClone(world, 'clone-1', snapshot, { storageClass: NEVER_BINDS })
  await untilOver(world)
  const free = new FreeVolume(world, 'pool-1', { storageClass: NEVER_BINDS })
  for (let turn = 0; turn < 10; turn++) await world.turn()
  free.assertAsBefore()
  assertEnd(world, 'Failed', 'ClaimNeverBound')
})

test.run()
