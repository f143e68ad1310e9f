// The restored volume is handed over only when it is whole, as the recorded phases of the claims show. What cannot be handed over leaves
// nothing behind.

import { createHash, randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { RESTORED_VOLUME_ANNOTATION } from '#shared/domain/restored-volume.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import type { Recorder, Seen } from '#test/environment/kubernetes/wait.ts'
import { type Backup, backUp, claimRepository, typeOf } from '#test/environment/main-job.ts'
import { STORAGE_CLASSES } from '#test/environment/seed.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import { type Volume, volumeOf } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { sideBySide } from '#test/support/side-by-side.ts'
import { boundVolume, staticVolume } from './support/static-volume.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
const SIZE_BYTES = 48 * MIB
const ENDS = ['Completed', 'Failed', 'Canceled']

const handOver = suite('the hand-over')
let environment: Environment
let volume: Volume
let backup: Backup
let repository: string
let claims: Recorder
let volumes: Recorder
let downloads: Recorder

handOver.before(async () => {
  environment = await startEnvironment({
    idleMs: 120_000,
    env: { DORMOUSE_SLICE_SECONDS: '2', DORMOUSE_BIND_TIMEOUT_SECONDS: '5' },
    envOf: { download: { FAKE_VDDK_MBPS: '6', DORMOUSE_MEMORY_MIB: '256' } },
    pingEveryMs: { 'dormouse-sweep': 2000 },
  })
  repository = await claimRepository(environment)
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: SIZE_BYTES })
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise('orders', 24 * MIB) }])
  backup = await backUp(environment, CLAIM, repository)
  claims = await environment.record('PersistentVolumeClaim')
  volumes = await environment.record('PersistentVolume')
  downloads = await environment.record('Download')
})
handOver.after(async () => {
  await environment.stop()
})

/** Asks for a restore into `namespace`; with `storageClass`, as if the claim had had that class. */
async function createClone(
  namespace: string,
  storageClass?: string,
  awaits?: string,
  from: Backup = backup,
): Promise<string> {
  await environment.createNamespace(namespace)
  const name = randomUUID()
  const { snapshotID, metadata } = from.snapshot['status']
  const stored = decodeClaimMetadata(metadata)
  if (storageClass !== undefined) stored['spec'].storageClassName = storageClass
  const spec = {
    snapshotID,
    metadata: encodeClaimMetadata(stored),
    apiGroup: '',
    kind: 'PersistentVolumeClaim',
    backupRepository: backup.snapshot['spec'].backupRepository,
    cloneCancel: false,
  }
  const annotations = awaits === undefined ? {} : { annotations: { [RESTORED_VOLUME_ANNOTATION]: awaits } }
  await environment.api.create({ ...typeOf('CloneFromSnapshot'), metadata: { name, namespace, ...annotations }, spec })
  return name
}

async function endOf(namespace: string, name: string): Promise<LooseObject> {
  const isOver = (object: LooseObject | undefined) => ENDS.includes(object?.['status']?.phase)
  return (await environment.waitFor('CloneFromSnapshot', namespace, name, isOver, 120_000)).object
}

/** The API server numbers all writes in one sequence: a higher number is a later write. */
const numberOf = ({ object }: Seen): number => Number(object.metadata.resourceVersion)
const inNamespace = (recorder: Recorder, namespace: string): Seen[] =>
  recorder.seen.filter(({ object }) => object.metadata.namespace === namespace)

function firstOf(seen: Seen[], what: string, is: (one: Seen) => boolean): Seen {
  const found = seen.find(is)
  if (found === undefined) throw new Error(`never seen: ${what}`)
  return found
}

/** Restores into `namespace`; checks in all recorded states that no Pod could use the disk before it was whole. */
async function assertHandedOverWhole(namespace: string, storageClass: string): Promise<void> {
  const clone = await endOf(namespace, await createClone(namespace, storageClass))
  assert.is(clone['status'].phase, 'Completed', clone['status'].message)
  const copy = await volumeOf(environment, namespace, CLAIM.name)
  assert.is(copy.claim['spec'].storageClassName, storageClass)
  assert.is(await sha256(copy.file), await sha256(volume.file))

  const { downloadName, volumeName } = clone['status']
  const download = downloads.of(downloadName)
  const whole = firstOf(download, 'the completed Download', ({ object }) => object['status']?.phase === 'Completed')
  assert.ok(whole.object['status'].slice >= 2, 'the data took its time')
  const staging = inNamespace(claims, namespace).filter(({ object }) => object.metadata.name.startsWith('dormouse-'))
  const target = inNamespace(claims, namespace).filter(({ object }) => object.metadata.name === CLAIM.name)
  const isBound = ({ object, deleted }: Seen) => object['status']?.phase === 'Bound' && !deleted
  assert.ok(numberOf(firstOf(staging, 'the bound staging claim', isBound)) < numberOf(whole))
  for (const one of target) assert.ok(numberOf(one) > numberOf(whole), 'the claim was there before the data was whole')
  firstOf(target, 'the bound claim', isBound)
  const promised = volumes.of(volumeName).filter(({ object }) => object['spec'].claimRef?.name === CLAIM.name)
  for (const one of promised) assert.ok(numberOf(one) > numberOf(whole), 'the volume was promised too early')
  assert.ok(promised.length > 0)
  assert.ok(staging.at(-1)?.deleted, 'the staging claim is gone')
}

/** Existing volumes: names of claims (with their namespaces), of PVs, and ids of disks. */
async function standing(): Promise<{ claims: string[]; volumes: string[]; disks: string[] }> {
  const named = (objects: LooseObject[]) =>
    objects.map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`).sort()
  return {
    claims: named(await environment.api.list('v1', 'PersistentVolumeClaim')),
    volumes: named(await environment.api.list('v1', 'PersistentVolume')),
    disks: (await environment.vcenterState()).fcds.map(({ id }) => id).sort(),
  }
}

async function untilStanding(wanted: Awaited<ReturnType<typeof standing>>): Promise<void> {
  const isSame = async () => JSON.stringify(await standing()) === JSON.stringify(wanted)
  await until('nothing more than before', isSame, 30_000).catch(() => {})
  assert.equal(await standing(), wanted)
}

const atOnce = sideBySide(handOver)

atOnce('the claim does not exist before every byte is written, and is Bound only after the download', async () => {
  await assertHandedOverWhole('copy', STORAGE_CLASSES.immediate)
})

atOnce(
  'row 24: a class that waits for its first consumer is provisioned for a node, and handed over alike',
  async () => {
    await assertHandedOverWhole('waiting-copy', STORAGE_CLASSES.waiting)
  },
)

/** A claim like Velero's: `spec.volumeName` names a volume that does not exist. */
async function createWaitingClaim(namespace: string, volumeName: string, change: object = {}): Promise<void> {
  const { accessModes, resources, storageClassName } = volume.claim['spec']
  await environment.api.create({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { namespace, name: CLAIM.name },
    spec: { accessModes, resources, storageClassName, volumeName, ...change },
  })
}

atOnce("a claim of Velero's waits Pending, and is bound to whole data under the volume's name", async () => {
  const [namespace, awaited] = ['by-velero', 'dormouse-by-velero']
  const name = await createClone(namespace, undefined, awaited)
  // A resource modifier has given it another size and another class.
  await createWaitingClaim(namespace, awaited, {
    storageClassName: STORAGE_CLASSES.waiting,
    resources: { requests: { storage: '64Mi' } },
  })
  const clone = await endOf(namespace, name)
  assert.is(clone['status'].phase, 'Completed', clone['status'].message)
  const copy = await volumeOf(environment, namespace, CLAIM.name)
  assert.equal([copy.claim['status'].phase, copy.claim['spec'].volumeName], ['Bound', awaited])
  assert.is(copy.claim['status'].capacity.storage, '64Mi')
  const bound = await environment.api.get({ apiVersion: 'v1', kind: 'PersistentVolume', name: awaited })
  const { csi, persistentVolumeReclaimPolicy, storageClassName } = bound?.['spec'] ?? {}
  assert.equal([persistentVolumeReclaimPolicy, storageClassName], ['Delete', STORAGE_CLASSES.waiting])
  assert.ok(environment.parts.csi.knows(csi.volumeHandle), 'the driver has the disk in its inventory')
  assert.ok((await readFile(copy.file)).subarray(0, SIZE_BYTES).equals(await readFile(volume.file)))

  const whole = firstOf(
    downloads.of(clone['status'].downloadName),
    'the completed Download',
    ({ object }) => object['status']?.phase === 'Completed',
  )
  for (const one of inNamespace(claims, namespace).filter(({ object }) => object.metadata.name === CLAIM.name)) {
    if (numberOf(one) < numberOf(whole)) assert.is(one.object['status'].phase, 'Pending')
  }
  for (const one of volumes.of(awaited)) assert.ok(numberOf(one) > numberOf(whole), 'the volume came too early')
  const handles = (await environment.api.list('v1', 'PersistentVolume')).map(({ spec }) => spec.csi.volumeHandle)
  assert.is(handles.filter((handle) => handle === csi.volumeHandle).length, 1, 'one volume object over the disk')

  await environment.api.delete({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name: CLAIM.name })
  const isGone = async () =>
    (await environment.vcenter.disk(csi.volumeHandle)) === undefined &&
    (await environment.api.get({ apiVersion: 'v1', kind: 'PersistentVolume', name: awaited })) === undefined
  await until('the driver deletes the disk with its claim', isGone, 30_000)
})

atOnce("a claim of Velero's that is deleted while its data is written takes the disk with it", async () => {
  const name = await createClone('given-up', undefined, 'dormouse-given-up')
  await createWaitingClaim('given-up', 'dormouse-given-up')
  const isMoving = ({ object }: Seen) =>
    object['spec'].clonefromSnapshotReference === `given-up/${name}` && object['status']?.phase === 'InProgress'
  await until('the data moves', () => downloads.seen.some(isMoving), 60_000)
  const ref = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: 'given-up', name: CLAIM.name }
  await environment.api.delete(ref)
  const clone = await endOf('given-up', name)
  assert.equal([clone['status'].phase, clone['status'].reason], ['Failed', 'TargetGone'])
})

atOnce('a claim that came while the data was written is never touched, and the staged disk goes', async () => {
  const name = await createClone('raced')
  const isMoving = ({ object }: Seen) =>
    object['spec'].clonefromSnapshotReference === `raced/${name}` && object['status']?.phase === 'InProgress'
  await until('the data moves', () => downloads.seen.some(isMoving), 60_000)
  const other = await environment.createVolume({ namespace: 'raced', name: CLAIM.name, sizeBytes: MIB })
  await writePieces(other.file, [{ offsetBytes: 0, data: noise('theirs', MIB) }])
  const clone = await endOf('raced', name)
  assert.is(clone['status'].phase, 'Failed')
  assert.is(clone['status'].reason, 'TargetExists')
  const { volumeID, volumeName } = clone['status']
  const isGone = async () => {
    const disk = await environment.vcenter.disk(volumeID.slice('ivd:'.length))
    const staged = await environment.api.get({ apiVersion: 'v1', kind: 'PersistentVolume', name: volumeName })
    return disk === undefined && staged === undefined
  }
  await until('the staged disk and its volume are gone', isGone, 30_000)
  assert.is(await sha256(other.file), createHash('sha256').update(noise('theirs', MIB)).digest('hex'))
  const claim = await environment.api.get({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    name: CLAIM.name,
    namespace: 'raced',
  })
  assert.equal(claim, other.claim)
})

atOnce('a claim that the restore makes gets the file system of the backup, on a disk of its size', async () => {
  const place = { namespace: 'by-hand', name: 'xfs' }
  const labels = { tier: 'gold' }
  const source = await staticVolume(environment, {
    ...{ ...place, sizeBytes: 32 * MIB, request: '16Mi', labels, fsType: 'xfs' },
    accessModes: ['ReadOnlyMany', 'ReadWriteOnce'],
    spec: { mountOptions: ['noatime'] },
  })
  const from = await backUp(environment, place, repository)
  const clone = await endOf('made-again', await createClone('made-again', undefined, undefined, from))
  assert.is(clone['status'].phase, 'Completed', clone['status'].message)
  const copy = await volumeOf(environment, 'made-again', 'xfs')
  assert.is(await sha256(copy.file), await sha256(source.file))
  const { metadata, spec } = await boundVolume(environment, 'made-again', 'xfs')
  assert.equal(
    [spec.csi.fsType, spec.mountOptions, spec.persistentVolumeReclaimPolicy, spec.capacity.storage, metadata.labels],
    ['xfs', ['noatime'], 'Retain', '32Mi', labels],
  )
  assert.is(metadata.name, clone['status'].volumeName)
  assert.is(copy.claim['spec'].resources.requests.storage, '32Mi', 'a quota counts what a claim asks for')
  assert.ok(environment.parts.csi.knows(spec.csi.volumeHandle), 'the driver has the disk in its inventory')
})

atOnce(
  'a class that never provides its disk ends the restore by name, and leaves no claim, volume or disk',
  async () => {
    const clone = await endOf('never', await createClone('never', STORAGE_CLASSES.never))
    assert.is(clone['status'].phase, 'Failed')
    assert.is(clone['status'].reason, 'ClaimNeverBound')
    assert.match(clone['status'].message, /was not bound within 5 s/)
  },
)

/** After the tests so far: the claims that were backed up, those that were restored, and the claim that a test created in between. */
const STANDING = ['by-hand/xfs', 'copy/orders', 'made-again/xfs', 'raced/orders', 'shop/orders', 'waiting-copy/orders']

handOver('of what failed, was given up or deleted no claim, volume or disk is left', async () => {
  const isRight = async () => {
    const { claims: stands, volumes: objects, disks } = await standing()
    return [stands, objects, disks].every(({ length }) => length === STANDING.length)
  }
  await until('nothing else stands', isRight, 30_000).catch(() => undefined)
  const now = await standing()
  assert.equal(now.claims, STANDING)
  assert.equal([now.volumes.length, now.disks.length], [STANDING.length, STANDING.length], JSON.stringify(now))
})

handOver('a claim that exists is never touched', async () => {
  await writePieces(volume.file, [{ offsetBytes: 30 * MIB, data: noise('newer', MIB) }])
  const [before, data] = [await standing(), await sha256(volume.file)]
  const clone = await endOf(CLAIM.namespace, await createClone(CLAIM.namespace))
  assert.is(clone['status'].phase, 'Failed')
  assert.is(clone['status'].reason, 'TargetExists')
  await untilStanding(before)
  assert.is(await sha256(volume.file), data)
  const claim = await environment.api.get({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...CLAIM })
  assert.equal(claim, volume.claim)
})

handOver.run()
