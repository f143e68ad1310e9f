// A restore keeps to what was decided when its disk was made. A user who edits the CloneFromSnapshot afterwards changes nothing, or ends their
// own restore.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { handOverOf } from '#shared/domain/staged-volume.ts'
import { HOUR_MS } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { NEVER_BINDS } from './csi-driver.ts'
import { assertNothingLeft } from './invariants.ts'
import { aBackup, aClone, aSnapshot, aWaitingClaim, isDone } from './objects.ts'
import { allowing, World } from './world.ts'

const cloneIn = (world: World, namespace: string) =>
  world.cluster.peek('CloneFromSnapshot', namespace, 'clone-1') as LooseObject

async function edit(world: World, namespace: string, spec: object): Promise<void> {
  const seen = { metadata: { namespace, name: 'clone-1' } } as LooseObject
  await world.cluster.patch('CloneFromSnapshot', seen, { spec })
}

function aClosedRepository(world: World): void {
  world.cluster.seed('BackupRepository', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'BackupRepository',
    metadata: { name: 'closed' },
    allowedNamespaces: ['somebody-else'],
    repositoryDriver: 's3repository.astrolabe.vmware-tanzu.com',
    repopsitoryParameters: { bucket: 'theirs' },
  })
}

for (const namespace of ['app', 'spy'])
  test(`a repository that ${namespace} writes into its clone while the disk is made is never named by a Download`, async () => {
    const world = await allowing(new World(3), [])
    const snapshot = await aBackup(world)
    aClosedRepository(world)
    const data = world.cluster.peek('PersistentVolumeClaim', 'app', 'data') as LooseObject
    await world.cluster.delete('PersistentVolumeClaim', data)
    aClone(world, 'clone-1', snapshot, { namespace })
    while (cloneIn(world, namespace)['status']?.reason !== 'Provisioning') await world.turn()
    await edit(world, namespace, { backupRepository: 'closed' })
    await world.run(() => isDone(cloneIn(world, namespace)) && world.cluster.peekAll('Download').every(isDone))
    const names = world.cluster.peekAll('Download').map((download) => download['spec'].backupRepositoryName)
    assert.equal(names, ['br'], world.describe())
  })

function storedWith(snapshot: LooseObject, storage: string): string {
  const stored = decodeClaimMetadata(snapshot['status'].metadata)
  stored['spec'].resources = { requests: { storage } }
  return encodeClaimMetadata(stored)
}

for (const storage of ['1Ki', '100Gi'])
  test(`a stored claim that is edited to ${storage} after its disk was made gets no disk, and leaves none`, async () => {
    const world = new World(5)
    const snapshot = await aBackup(world)
    const disks = world.volumes.diskIds.length
    aClone(world, 'clone-1', snapshot)
    while (world.cluster.peekAll('Download').length === 0) await world.turn()
    await edit(world, 'restored', { metadata: storedWith(snapshot, storage) })
    await world.run(() => isDone(cloneIn(world, 'restored')) && world.volumes.diskIds.length === disks)
    assert.is(cloneIn(world, 'restored')['status'].reason, 'MetadataChanged')
    assert.is(world.cluster.peek('PersistentVolumeClaim', 'restored', 'data'), undefined)
    assertNothingLeft(world)
  })

test('another backup that is written into the clone while one is restored never shares its disk with it', async () => {
  const world = new World(5)
  const first = await aBackup(world)
  aSnapshot(world, 'snap-2', 'data')
  const second = () => world.cluster.peek('Snapshot', 'app', 'snap-2')
  await world.run(() => isDone(second()) && world.cluster.peekAll('Upload').every(isDone))
  const disks = world.volumes.diskIds.length
  aClone(world, 'clone-1', first)
  while (world.cluster.peekAll('Download').length === 0) await world.turn()
  await edit(world, 'restored', { snapshotID: second()?.['status']?.snapshotID })
  await world.run(() => isDone(cloneIn(world, 'restored')) && world.cluster.peekAll('Download').every(isDone))
  assert.is(world.cluster.peekAll('Download').length, 1)
  assert.is(cloneIn(world, 'restored')['status'].reason, 'SnapshotIDChanged', world.describe())
  await world.run(() => world.volumes.diskIds.length === disks)
  assert.is(world.volumes.diskIds.length, disks)
})

/** As Kubernetes does for a claim that does not fit the volume that it names. */
function keepFromBinding(world: World, name: string): void {
  const cluster = world.cluster
  const peekAll = cluster.peekAll.bind(cluster)
  const play = world.csi.play.bind(world.csi)
  world.csi.play = async () => {
    cluster.peekAll = (kind) => peekAll(kind).filter(({ metadata }) => metadata.name !== name)
    try {
      await play()
    } finally {
      cluster.peekAll = peekAll
    }
  }
}

async function untilNotBound(world: World): Promise<void> {
  await world.run(() => cloneIn(world, 'restored')['status']?.reason === 'TargetNotBoundYet')
}

async function tearOut(world: World, namespace: string): Promise<void> {
  const seen = { metadata: { namespace, name: 'clone-1' } } as LooseObject
  await world.cluster.patch('CloneFromSnapshot', seen, { metadata: { finalizers: [] } })
  await world.cluster.delete('CloneFromSnapshot', cloneIn(world, namespace))
}

for (const awaits of [undefined, 'dormouse-awaited']) {
  const what = awaits === undefined ? 'a claim that is never bound' : "Velero's claim that is never bound"

  test(`${what} ends the restore by name, and its disk goes`, async () => {
    const world = new World(5)
    const snapshot = await aBackup(world)
    const disks = world.volumes.diskIds.length
    const clone = aClone(world, 'clone-1', snapshot, { awaits })
    if (awaits !== undefined) aWaitingClaim(world, clone)
    keepFromBinding(world, 'data')
    await untilNotBound(world)
    const fromMs = world.clock.nowMs()
    await world.run(() => isDone(cloneIn(world, 'restored')) && world.volumes.diskIds.length === disks, 3 * HOUR_MS)
    assert.is(cloneIn(world, 'restored')['status'].reason, 'TargetNeverBound', world.describe())
    assert.ok(world.clock.nowMs() - fromMs < 1.5 * HOUR_MS)
    assert.is(world.cluster.peek('PersistentVolumeClaim', 'restored', 'data') === undefined, awaits === undefined)
  })

  for (const another of [false, true])
    test(`${what}, and a clone that is torn out${another ? ' for another of its name' : ''}: disk and Download go`, async () => {
      const world = new World(5)
      const snapshot = await aBackup(world)
      const disks = world.volumes.diskIds.length
      const clone = aClone(world, 'clone-1', snapshot, { awaits })
      if (awaits !== undefined) aWaitingClaim(world, clone)
      keepFromBinding(world, 'data')
      await untilNotBound(world)
      await tearOut(world, 'restored')
      if (another) aClone(world, 'clone-1', snapshot, { storageClass: 'missing' })
      const [download] = world.cluster.peekAll('Download')
      const isLetGo = () => world.cluster.peekAll('Download').every(({ metadata }) => !metadata.finalizers?.length)
      await world.run(() => isLetGo() && world.volumes.diskIds.length === disks, HOUR_MS)
      assert.ok(download)
      assert.ok(isLetGo(), world.describe())
      assert.is(world.volumes.diskIds.length, disks)
    })
}

test('a clone that is torn out while its disk has no volume object: the disk is found by the plan, and goes', async () => {
  const world = new World(5)
  const snapshot = await aBackup(world)
  const disks = world.volumes.diskIds.length
  aWaitingClaim(world, aClone(world, 'clone-1', snapshot, { awaits: 'dormouse-awaited' }))
  keepFromBinding(world, 'data')
  await untilNotBound(world)
  await tearOut(world, 'restored')
  await world.cluster.delete(
    'PersistentVolume',
    world.cluster.peek('PersistentVolume', undefined, 'dormouse-awaited') as LooseObject,
  )
  assert.is(world.cluster.peek('PersistentVolume', undefined, 'dormouse-awaited'), undefined)
  assert.is(world.volumes.diskIds.length, disks + 1)
  await world.run(() => world.volumes.diskIds.length === disks, HOUR_MS)
  assert.is(world.volumes.diskIds.length, disks)
})

test('the same for a claim that the restore makes, whose volume object is made again', async () => {
  const world = new World(5)
  const snapshot = await aBackup(world)
  const disks = world.volumes.diskIds.length
  aClone(world, 'clone-1', snapshot)
  keepFromBinding(world, 'data')
  const staged = () => world.cluster.peekAll('PersistentVolume').find(({ metadata }) => metadata.name !== 'pv-data')
  while (staged() === undefined) await world.turn()
  // As its class says; the backed-up volume named no file system.
  await world.cluster.patch('PersistentVolume', staged() as LooseObject, { spec: { csi: { fsType: 'ext4' } } })
  await untilNotBound(world)
  const { name } = staged()?.metadata ?? { name: '' }
  const again = handOverOf(world.cluster.peekAll('Download')[0] as LooseObject)?.again
  assert.equal([again?.metadata.name, staged()?.['spec']?.csi?.fsType], [name, undefined])
  await tearOut(world, 'restored')
  await world.cluster.delete('PersistentVolume', staged() as LooseObject)
  assert.equal([staged(), world.volumes.diskIds.length], [undefined, disks + 1])
  await world.run(() => world.volumes.diskIds.length === disks, HOUR_MS)
  assert.is(world.volumes.diskIds.length, disks)
})

test('a claim that has got the disk of a clone that was torn out keeps it, and takes it along when it goes', async () => {
  const world = new World(5)
  const snapshot = await aBackup(world)
  const disks = world.volumes.diskIds.length
  aClone(world, 'clone-1', snapshot)
  const target = () => world.cluster.peek('PersistentVolumeClaim', 'restored', 'data')
  world.cluster.onWrite((kind, _before, after) => {
    const isGiven =
      kind === 'PersistentVolumeClaim' && after?.metadata.name === 'data' && after['status']?.phase === 'Bound'
    if (isGiven && after?.metadata.namespace === 'restored') void tearOut(world, 'restored').catch(() => undefined)
  })
  const isLetGo = () => world.cluster.peekAll('Download').every(({ metadata }) => !metadata.finalizers?.length)
  await world.run(() => target()?.['status']?.phase === 'Bound' && isLetGo())
  assert.ok(isLetGo(), world.describe())
  const volume = world.cluster.peek('PersistentVolume', undefined, target()?.['spec'].volumeName ?? '')
  assert.is(volume?.['spec'].persistentVolumeReclaimPolicy, 'Delete')
  assert.is(world.volumes.diskIds.length, disks + 1)
  await world.cluster.delete('PersistentVolumeClaim', target() as LooseObject)
  await world.run(() => world.volumes.diskIds.length === disks)
  assert.is(world.volumes.diskIds.length, disks)
})

test('a restore that cannot go on occupies its function for less than a twentieth of the time', async () => {
  const world = new World(5)
  const snapshot = await aBackup(world)
  const clone = aClone(world, 'clone-1', snapshot, { storageClass: NEVER_BINDS })
  const fromMs = world.clock.nowMs()
  let heldMs = 0
  while (!isDone(cloneIn(world, 'restored'))) {
    // Restores that have nothing to wait for end first.
    for (let i = 0; i < 60; i++) await new Promise((resolve) => setImmediate(resolve))
    const beforeMs = world.clock.nowMs()
    const isHeld = world.heldLeases.some((name) => name.includes(clone.metadata.uid ?? '-'))
    await world.turn()
    if (isHeld) heldMs += world.clock.nowMs() - beforeMs
  }
  assert.is(cloneIn(world, 'restored')['status'].reason, 'ClaimNeverBound')
  assert.ok(heldMs < (world.clock.nowMs() - fromMs) / 20, `${heldMs} ms of ${world.clock.nowMs() - fromMs} ms`)
})

test.run()
