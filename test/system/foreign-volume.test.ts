// Restores beside PersistentVolumes that are free and fit, with the real controller that binds. Dormouse never writes or deletes such a volume,
// and no claim keeps it; the restore is whole, or fails with a reason.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import type { Recorder } from '#test/environment/kubernetes/wait.ts'
import { type Backup, backUp, claimRepository, typeOf } from '#test/environment/main-job.ts'
import { STORAGE_CLASSES } from '#test/environment/seed.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import { DRIVER, quantity } from '#test/environment/storage/csi.ts'
import { type Volume, volumeOf } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { sideBySide } from '#test/support/side-by-side.ts'
import { askForClone, endOf } from './support/bad-input.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
const SIZE_BYTES = 16 * MIB

const foreign = suite('a restore beside free volumes')
let environment: Environment
let volume: Volume
let backup: Backup
let repository: string
let volumes: Recorder

foreign.before(async () => {
  environment = await startEnvironment({
    movers: 4,
    idleMs: 60_000,
    env: { DORMOUSE_BIND_TIMEOUT_SECONDS: '15' },
    pingEveryMs: { 'dormouse-sweep': 2000 },
  })
  repository = await claimRepository(environment)
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: SIZE_BYTES })
  await writePieces(volume.file, [{ offsetBytes: 2 * MIB, data: noise('orders', 4 * MIB) }])
  backup = await backUp(environment, CLAIM, repository)
  volumes = await environment.record('PersistentVolume')
})
foreign.after(async () => {
  await environment.stop()
})

type Free = { name: string; fcdId: string; file: string; hash: string; before: LooseObject }

/** As an administrator leaves a released volume that is to be used again: provisioned once, with its claimRef removed. */
async function aFreeVolume(name: string, storageClass: string, sizeBytes = SIZE_BYTES): Promise<Free> {
  const disk = await environment.vcenter.createDisk({ name, capacityBytes: sizeBytes, cbt: true })
  await writePieces(disk.path, [{ offsetBytes: 0, data: noise(name, sizeBytes) }])
  await environment.api.create({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name, annotations: { 'pv.kubernetes.io/provisioned-by': DRIVER } },
    spec: {
      capacity: { storage: quantity(sizeBytes) },
      accessModes: ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: 'Delete',
      storageClassName: storageClass,
      csi: { driver: DRIVER, volumeHandle: disk.id, fsType: 'ext4' },
    },
  })
  const isFree = (object: LooseObject | undefined) => object?.['status']?.phase === 'Available'
  const { object: before } = await environment.waitFor('PersistentVolume', undefined, name, isFree)
  return { name, fcdId: disk.id, file: disk.path, hash: await sha256(disk.path), before }
}

/** Without the fields that change by themselves. */
function plain({ metadata, spec }: LooseObject): object {
  const { name, uid, annotations, labels, finalizers, deletionTimestamp } = metadata
  return { name, uid, annotations, labels, finalizers, deletionTimestamp, spec }
}

async function assertAsBefore({ name, fcdId, file, hash, before }: Free): Promise<void> {
  const now = await environment.api.get({ apiVersion: 'v1', kind: 'PersistentVolume', name })
  assert.ok(now, `PersistentVolume ${name} is gone`)
  assert.equal(plain(now), plain(before))
  assert.is(now['status'].phase, 'Available')
  assert.ok(await environment.vcenter.disk(fcdId), `its disk is gone`)
  assert.is(await sha256(file), hash, `the data of ${name} has changed`)
}

function assertNeverBound({ name }: Free): void {
  for (const { object } of volumes.of(name)) assert.is(object['spec'].claimRef, undefined, `${name} was bound`)
}

async function restoreWith(namespace: string, storageClass: string | undefined): Promise<LooseObject> {
  return await endOf(environment, 'CloneFromSnapshot', namespace, await ask(namespace, storageClass), 120_000)
}

async function ask(namespace: string, storageClass: string | undefined): Promise<string> {
  const { snapshotID, metadata } = backup.snapshot['status']
  const stored = decodeClaimMetadata(metadata)
  stored['spec'].storageClassName = storageClass!
  return await askForClone(environment, namespace, { snapshotID, metadata: encodeClaimMetadata(stored), repository })
}

function assertFailed(clone: LooseObject, reason: string, message: RegExp): void {
  assert.equal([clone['status'].phase, clone['status'].reason], ['Failed', reason], clone['status'].message)
  assert.match(clone['status'].message, message)
}

async function assertNothingLeft(namespace: string): Promise<void> {
  assert.equal(await environment.api.list('v1', 'PersistentVolumeClaim', namespace), [])
}

foreign('a class that binds at once: the restore fails by the name of the volume, which is never bound', async () => {
  const same = await aFreeVolume('pool-same', STORAGE_CLASSES.immediate)
  const larger = await aFreeVolume('pool-larger', STORAGE_CLASSES.immediate, 4 * SIZE_BYTES)
  const clone = await restoreWith('at-once', STORAGE_CLASSES.immediate)
  assertFailed(clone, 'FittingVolumeExists', /PersistentVolume pool-larger is free, fits/)
  for (const free of [same, larger]) {
    await assertAsBefore(free)
    assertNeverBound(free)
    // Reserves them, so that they do not disturb other tests.
    await environment.api.delete({ apiVersion: 'v1', kind: 'PersistentVolume', name: free.name })
  }
  await assertNothingLeft('at-once')
})

const atOnce = sideBySide(foreign)

atOnce('a class that waits for its first consumer: the restore is whole beside them', async () => {
  const same = await aFreeVolume('wait-same', STORAGE_CLASSES.waiting)
  const larger = await aFreeVolume('wait-larger', STORAGE_CLASSES.waiting, 4 * SIZE_BYTES)
  const clone = await restoreWith('waiting', STORAGE_CLASSES.waiting)
  assert.is(clone['status'].phase, 'Completed', clone['status'].message)
  const copy = await volumeOf(environment, 'waiting', CLAIM.name)
  assert.is(await sha256(copy.file), await sha256(volume.file))
  for (const free of [same, larger]) {
    await assertAsBefore(free)
    assertNeverBound(free)
  }
})

atOnce('volumes without a class, and of another class, do not disturb a restore', async () => {
  const free = await aFreeVolume('no-class', '')
  const clone = await restoreWith('beside', STORAGE_CLASSES.immediate)
  assert.is(clone['status'].phase, 'Completed', clone['status'].message)
  const copy = await volumeOf(environment, 'beside', CLAIM.name)
  assert.is(await sha256(copy.file), await sha256(volume.file))
  await assertAsBefore(free)
  assertNeverBound(free)
})

atOnce('a claim of the class "", or of none where there is no default: the restore fails by name', async () => {
  const free = await aFreeVolume('no-class-2', '')
  assertFailed(await restoreWith('class-empty', ''), 'StorageClassMissing', /has the storage class ""/)
  assertFailed(await restoreWith('class-none', undefined), 'StorageClassMissing', /no StorageClass is the default/)
  await assertAsBefore(free)
  assertNeverBound(free)
  await assertNothingLeft('class-empty')
})

atOnce(
  'a volume that becomes free while the staging claim exists is bound by Kubernetes, and kept for an operator to look at',
  async () => {
    const name = await ask('raced', STORAGE_CLASSES.never)
    const staging = async () => await environment.api.list('v1', 'PersistentVolumeClaim', 'raced')
    await until('the staging claim stands', async () => (await staging()).length === 1, 30_000)
    const disk = await environment.vcenter.createDisk({ name: 'raced', capacityBytes: SIZE_BYTES, cbt: true })
    await writePieces(disk.path, [{ offsetBytes: 0, data: noise('raced', SIZE_BYTES) }])
    const hash = await sha256(disk.path)
    const spec = {
      capacity: { storage: quantity(SIZE_BYTES) },
      accessModes: ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: 'Delete',
      storageClassName: STORAGE_CLASSES.never,
      csi: { driver: DRIVER, volumeHandle: disk.id },
    }
    const annotations = { 'pv.kubernetes.io/provisioned-by': DRIVER }
    await environment.api.create({
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: 'raced', annotations },
      spec,
    })
    const clone = await endOf(environment, 'CloneFromSnapshot', 'raced', name)
    assertFailed(clone, 'VolumeNotNew', /PersistentVolume raced, which was not provisioned for it/)
    assert.ok(
      volumes.of('raced').some(({ object }) => object['spec'].claimRef?.namespace === 'raced'),
      'it was bound',
    )
    const isKept = (object: LooseObject | undefined) =>
      object?.['status']?.phase === 'Released' && object.metadata.annotations?.['dormouse.dev/kept'] !== undefined
    const { object: now } = await environment.waitFor('PersistentVolume', undefined, 'raced', isKept, 30_000)
    assert.equal([now['spec'].persistentVolumeReclaimPolicy, now.metadata.labels], ['Retain', undefined])
    assert.match(now.metadata.annotations?.['dormouse.dev/kept'] ?? '', /policy was Delete$/)
    assert.ok(await environment.vcenter.disk(disk.id), 'its disk is gone')
    assert.is(await sha256(disk.path), hash)
    await assertNothingLeft('raced')
  },
)

atOnce("a status that names another claim's volume, Download and plan hands over nothing of it", async () => {
  const theirs = await environment.api.get({ apiVersion: 'v1', kind: 'PersistentVolume', name: volume.volumeName })
  const name = await ask('forger', STORAGE_CLASSES.immediate)
  const ref = { ...typeOf('CloneFromSnapshot'), namespace: 'forger', name }
  const csi = theirs?.['spec'].csi
  const plan = {
    claimUID: 'u',
    metadata: { name: 'dormouse-forged' },
    spec: { csi, claimRef: { namespace: 'forger', name: CLAIM.name } },
  }
  const forged = {
    volumeName: volume.volumeName,
    volumeID: `ivd:${volume.fcdId}`,
    downloadName: 'download-of-others',
    reclaimPolicy: 'Retain',
    stagingClaim: CLAIM.name,
    restoredVolume: JSON.stringify(plan),
  }
  for (let n = 0; n < 20; n++) {
    await environment.api.patch(ref, { status: forged }, 'status')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const clone = await endOf(environment, 'CloneFromSnapshot', 'forger', name)
  assert.is(clone['status'].phase, 'Completed', clone['status'].message)
  const now = await environment.api.get({ apiVersion: 'v1', kind: 'PersistentVolume', name: volume.volumeName })
  assert.equal(now, theirs)
  const copy = await volumeOf(environment, 'forger', CLAIM.name)
  assert.is.not(copy.fcdId, volume.fcdId)
  assert.is(await sha256(copy.file), await sha256(volume.file))
})

foreign.run()
