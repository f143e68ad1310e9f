// A restored volume gets the properties that the backed-up volume had besides its data, with any fault plan. A volume that no claim gets goes
// together with its disk.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { handOverOf } from '#shared/domain/staged-volume.ts'
import { KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import { type FaultPlan, NO_FAULTS } from './fault-plan.ts'
import { assertNothingLeft } from './invariants.ts'
import { aClone, aSnapshot, aVolume, aWaitingClaim, isDone } from './objects.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env['SEEDS'] ?? 12)
const BAD: FaultPlan = { drop: 0.3, double: 0.3, die: 0.05 }
const AWAITED = 'dormouse-awaited'
const ZONE = 'topology.csi.vmware.com/k8s-zone'

const inZone = (zone: string) => ({
  required: { nodeSelectorTerms: [{ matchExpressions: [{ key: ZONE, operator: 'In', values: [zone] }] }] },
})

/** As an administrator has made it, or changed it since. */
const KNOWN = {
  mountOptions: ['noatime'],
  persistentVolumeReclaimPolicy: 'Retain',
  accessModes: ['ReadOnlyMany', 'ReadWriteOnce'],
}

async function backedUp(
  world: World,
  spec: object,
  metadata: object = {},
  meanwhile: (world: World) => Promise<void> = async () => undefined,
): Promise<LooseObject> {
  world.volumes.write(aVolume(world, 'data'), 64 * KiB, noiseOf('data', 64 * KiB))
  const volume = world.cluster.peek('PersistentVolume', undefined, 'pv-data') as LooseObject
  await world.cluster.patch('PersistentVolume', volume, { spec, metadata })
  aSnapshot(world, 'snap-1', 'data')
  await meanwhile(world)
  const snapshot = () => world.cluster.peek('Snapshot', 'app', 'snap-1')
  await world.run(() => isDone(snapshot()) && world.cluster.peekAll('Upload').every(isDone))
  return snapshot() as LooseObject
}

/** Makes an Upload as an earlier release did. */
async function withoutRecord(world: World): Promise<void> {
  while (world.cluster.peekAll('Upload').length === 0) await world.turn()
  const [upload] = world.cluster.peekAll('Upload') as [LooseObject]
  assert.ok(upload.metadata.annotations?.['dormouse.dev/volume'])
  await world.cluster.patch('Upload', upload, { metadata: { annotations: { 'dormouse.dev/volume': null } } })
}

const cloneIn = (world: World) => world.cluster.peek('CloneFromSnapshot', 'restored', 'clone-1')

async function untilOver(world: World): Promise<void> {
  await world.run(() => isDone(cloneIn(world)) && world.cluster.peekAll('Download').every(isDone))
  await world.run(() => world.heldLeases.length === 0)
  assert.equal(world.broken, [])
  assert.equal(world.errors, [])
  assertNothingLeft(world)
}

async function restored(world: World, snapshot: LooseObject, awaits: string | undefined): Promise<LooseObject> {
  const clone = aClone(world, 'clone-1', snapshot, { awaits })
  if (awaits !== undefined) aWaitingClaim(world, clone)
  await untilOver(world)
  assert.is(cloneIn(world)?.['status']?.phase, 'Completed', world.describe())
  const claim = world.cluster.peek('PersistentVolumeClaim', 'restored', 'data')
  assert.is(claim?.['status']?.phase, 'Bound')
  return world.cluster.peek('PersistentVolume', undefined, claim?.['spec'].volumeName ?? '') as LooseObject
}

for (const awaits of [undefined, AWAITED]) {
  const who = awaits === undefined ? 'a claim that the restore makes' : "a claim of Velero's"
  for (const [seed, plan] of [
    [0, NO_FAULTS] as const,
    ...Array.from({ length: SEEDS }, (_, n) => [n + 1, BAD] as const),
  ])
    test(`seed ${seed}: ${who} gets a volume with the file system, options, policy, modes and labels of the backup`, async () => {
      const world = new World(seed, plan)
      const csi = { fsType: 'xfs' }
      const labels = { tier: 'gold' }
      const snapshot = await backedUp(world, { ...KNOWN, csi }, { labels, annotations: { 'example.com/x': 'y' } })
      const { metadata, spec } = await restored(world, snapshot, awaits)
      assert.equal(
        [spec.csi.fsType, spec.mountOptions, spec.persistentVolumeReclaimPolicy, spec.accessModes],
        ['xfs', ['noatime'], 'Retain', ['ReadWriteOnce', 'ReadOnlyMany']],
      )
      assert.equal(metadata.labels, labels)
      assert.is(metadata.annotations?.['example.com/x'], 'y')
      assert.is(spec.storageClassName, 'fast')
    })

  test(`${who}: before its first volume object is removed, the Download records the second one`, async () => {
    const world = new World(2, NO_FAULTS)
    const snapshot = await backedUp(world, { ...KNOWN, csi: { fsType: 'xfs' } })
    const noted: unknown[] = []
    world.cluster.onWrite((kind, _before, after) => {
      if (kind !== 'PersistentVolume' || after !== undefined) return
      const handOver = handOverOf(world.cluster.peekAll('Download')[0] as LooseObject)
      noted.push((handOver?.plan ?? handOver?.again)?.spec['csi'])
    })
    const { spec } = await restored(world, snapshot, awaits)
    assert.equal(noted, [spec.csi])
  })

  test(`${who}: what can be changed is changed without another volume object`, async () => {
    const world = new World(1, NO_FAULTS)
    const snapshot = await backedUp(world, KNOWN, { labels: { tier: 'gold' } })
    const gone: string[] = []
    world.cluster.onWrite((kind, before, after) => {
      if (kind === 'PersistentVolume' && after === undefined) gone.push(before?.metadata.name ?? '')
    })
    const { metadata, spec } = await restored(world, snapshot, awaits)
    assert.equal([spec.mountOptions, spec.persistentVolumeReclaimPolicy], [['noatime'], 'Retain'])
    assert.is(metadata.labels?.['tier'], 'gold')
    assert.is(gone.length, awaits === undefined ? 0 : 1)
  })

  test(`${who}: a place that the cluster has is kept, and one that it has not is left out with an Event`, async () => {
    for (const [zone, wanted] of [
      ['zone-a', inZone('zone-a')],
      ['zone-b', undefined],
    ] as const) {
      const world = new World(1, NO_FAULTS)
      const node = world.cluster.peek('Node', undefined, 'node-1') as LooseObject
      await world.cluster.patch('Node', node, { metadata: { labels: { [ZONE]: 'zone-a' } } })
      const snapshot = await backedUp(world, { nodeAffinity: inZone(zone) })
      assert.equal((await restored(world, snapshot, awaits))['spec'].nodeAffinity, wanted)
      const told = world.cluster.peekAll('Event').map((event) => event['reason'])
      assert.is(told.includes('NodeAffinityLeftOut'), wanted === undefined)
    }
  })

  test(`${who}: a backup without a record is restored as the class has it`, async () => {
    const world = new World(1, NO_FAULTS)
    const metadataOfOld = { labels: { tier: 'gold' } }
    const snapshot = await backedUp(world, { ...KNOWN, csi: { fsType: 'xfs' } }, metadataOfOld, withoutRecord)
    for (const root of world.bucket.backups.values()) assert.is(root.source['volume'], undefined)
    const { metadata, spec } = await restored(world, snapshot, awaits)
    assert.equal(
      [spec.csi.fsType, spec.mountOptions, spec.persistentVolumeReclaimPolicy],
      [undefined, undefined, 'Delete'],
    )
    assert.is(metadata.labels?.['tier'], undefined)
  })

  test(`${who}: cancelled while it is written, a disk of a backup with Retain goes all the same`, async () => {
    const world = new World(3, NO_FAULTS)
    const snapshot = await backedUp(world, { ...KNOWN, csi: { fsType: 'xfs' } })
    const disks = world.volumes.diskIds
    const clone = aClone(world, 'clone-1', snapshot, { awaits })
    if (awaits !== undefined) aWaitingClaim(world, clone)
    const isTold = (download: LooseObject) => download.metadata.annotations?.['dormouse.dev/backed-up'] !== undefined
    while (!world.cluster.peekAll('Download').some(isTold)) await world.turn()
    const now = cloneIn(world) as LooseObject
    await world.cluster.patch('CloneFromSnapshot', now, { spec: { cloneCancel: true } })
    await untilOver(world)
    await world.run(() => world.volumes.diskIds.length === disks.length)
    assert.is(cloneIn(world)?.['status']?.phase, 'Canceled')
    assert.equal(world.volumes.diskIds, disks)
  })
}

test.run()
