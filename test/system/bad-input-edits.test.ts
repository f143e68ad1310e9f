// A user edits objects while functions work on them: sets a phase, removes a finalizer, deletes an object. Work that can continue
// ends right all the same; work whose object is gone leaves nothing behind.

import { randomUUID } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KindName } from '#shared/api/kinds.ts'
import { unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { aSnapshot, type Backup, backUp, claimRepository, restore, typeOf } from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import { openRepository } from '#test/environment/storage/repository.ts'
import { type Volume, volumeOf } from '#test/environment/storage/volume.ts'
import { isHeldClaim } from '#test/support/held-claim.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { sideBySide } from '#test/support/side-by-side.ts'
import { askForClone, endOf, heldObjects, settledStanding, standing } from './support/bad-input.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
const NAME = CLAIM.name

const edits = suite('objects edited in mid-flight')
let environment: Environment
let repository: string
let volume: Volume
let backup: Backup

edits.before(async () => {
  environment = await startEnvironment({
    movers: 4,
    idleMs: 120_000,
    env: {
      DORMOUSE_SLICE_SECONDS: '20',
      FAKE_VDDK_MBPS: '2',
      DORMOUSE_DUE_SECONDS: '2',
      DORMOUSE_BACKOFF_UNIT_SECONDS: '1',
    },
    pingEveryMs: { 'dormouse-sweep': 2000 },
  })
  repository = await claimRepository(environment)
  volume = await aVolume(CLAIM.namespace)
  backup = await backUp(environment, CLAIM, repository)
})
edits.after(async () => {
  await environment.stop()
})

async function aVolume(namespace: string): Promise<Volume> {
  const made = await environment.createVolume({ namespace, name: NAME, sizeBytes: 24 * MIB })
  await writePieces(made.file, [{ offsetBytes: 0, data: noise(namespace, 16 * MIB) }])
  return made
}

/** Begins a backup of a new volume, and waits until its Upload has moved some data. */
async function runningBackup(namespace: string): Promise<{ file: string; name: string; upload: string }> {
  const { file } = await aVolume(namespace)
  const name = `snap-${randomUUID()}`
  await environment.api.create(aSnapshot(name, { namespace, name: NAME }, repository))
  const isNamed = (object: LooseObject | undefined) => Boolean(object?.['status']?.uploadName)
  const upload: string = (await environment.waitFor('Snapshot', namespace, name, isNamed)).object['status'].uploadName
  const isMoving = (seen: LooseObject | undefined) => seen?.['status']?.progress?.bytesRead > 0
  await environment.waitFor('Upload', 'velero', upload, isMoving)
  return { file, name, upload }
}

async function runningRestore(namespace: string): Promise<{ name: string; download: string }> {
  const { snapshotID, metadata } = backup.snapshot['status']
  const name = await askForClone(environment, namespace, { snapshotID, metadata, repository })
  const isNamed = (object: LooseObject | undefined) => Boolean(object?.['status']?.downloadName)
  const { object } = await environment.waitFor('CloneFromSnapshot', namespace, name, isNamed)
  const download: string = object['status'].downloadName
  await environment.waitFor('Download', 'velero', download, (seen) => seen?.['status']?.progress?.bytesDone > 0)
  return { name, download }
}

/** Removes the finalizer and deletes the object, as a user may with `kubectl edit` and `kubectl delete`: no function cleans up for it. */
async function tearOut(kind: KindName, namespace: string, name: string): Promise<void> {
  const ref = { ...typeOf(kind), namespace, name }
  await until(`${kind} ${name} is gone`, async () => {
    await environment.api.delete(ref)
    if ((await environment.api.get(ref)) === undefined) return true
    await environment.api.patch(ref, { metadata: { finalizers: null } }).catch(() => undefined)
    return (await environment.api.get(ref)) === undefined
  })
}

/** Only these claims exist, each on a disk of its own, and no Lease or finalizer is held. */
async function assertNothingStands(claims: string[]): Promise<void> {
  await until('nothing is held', async () => (await heldObjects(environment)).length === 0, 60_000)
  await until('no Lease is held', async () => (await heldLeases()).length === 0, 60_000)
  const isRight = async () => (await standing(environment)).claims.length === claims.length
  await until('no other claim stands', isRight, 30_000).catch(() => undefined)
  const stands = await settledStanding(environment)
  const [claimed, snapshots] = [claims.sort(), [] as string[]]
  assert.equal({ claims: stands.claims, snapshots: stands.snapshots }, { claims: claimed, snapshots })
  assert.equal([stands.volumes.length, stands.disks.length], [claims.length, claims.length])
}

async function heldLeases(): Promise<string[]> {
  const leases = await environment.api.list('coordination.k8s.io/v1', 'Lease', 'velero')
  return leases.filter(isHeldClaim).map(({ metadata }) => metadata.name)
}

const atOnce = sideBySide(edits)

atOnce('phases set by hand in running work cause no false end', async () => {
  const ref = { ...typeOf('Snapshot'), namespace: 'by-hand', name: 'by-hand' }
  await aVolume(ref.namespace)
  await environment.api.create({
    ...aSnapshot(ref.name, { namespace: ref.namespace, name: NAME }, repository),
    metadata: { name: ref.name, namespace: ref.namespace, labels: { 'dormouse.dev/step': 'done' } },
  })
  await environment.api.patch(ref, { status: { phase: 'Uploading' } }, 'status')
  await environment.api.patch(ref, { metadata: { labels: { 'dormouse.dev/step': 'snapshot' } } })
  const snapshot = await endOf(environment, 'Snapshot', ref.namespace, ref.name)
  assert.is(snapshot['status'].phase, 'Uploaded', snapshot['status'].message)
})

atOnce('a running backup whose finalizers are removed reaches its end', async () => {
  const { file, name, upload } = await runningBackup('freed')
  for (const ref of [
    { ...typeOf('Snapshot'), namespace: 'freed', name },
    { ...typeOf('Upload'), namespace: 'velero', name: upload },
  ])
    await environment.api.patch(ref, { metadata: { finalizers: null } })
  const snapshot = await endOf(environment, 'Snapshot', 'freed', name)
  assert.is(snapshot['status'].phase, 'Uploaded', snapshot['status'].message)
  const copy = await restore(environment, { snapshot }, 'after-edit')
  assert.is(await sha256(copy.volume.file), await sha256(file))
})

atOnce(
  'a running Snapshot that is deleted without its finalizer costs no backup: its Upload ends, and vCenter keeps nothing',
  async () => {
    const { file, name, upload } = await runningBackup('torn-snapshot')
    const seen = await environment.api.get({ ...typeOf('Snapshot'), namespace: 'torn-snapshot', name })
    await tearOut('Snapshot', 'torn-snapshot', name)
    const end = await endOf(environment, 'Upload', 'velero', upload)
    assert.is(end['status'].phase, 'Completed', end['status'].message)
    const copy = await restore(environment, { snapshot: seen! }, 'after-lost-record')
    assert.is(await sha256(copy.volume.file), await sha256(file))
  },
)

atOnce('a running CloneFromSnapshot that is deleted without its finalizer leaves no claim and no disk', async () => {
  const { name, download } = await runningRestore('torn-clone')
  await tearOut('CloneFromSnapshot', 'torn-clone', name)
  const end = await endOf(environment, 'Download', 'velero', download)
  assert.equal([end['status'].phase, end['status'].reason], ['Failed', 'Canceled'])
})

atOnce('a running Download that is deleted without its finalizer is made anew, and the claim is whole', async () => {
  const { name, download } = await runningRestore('torn-download')
  await tearOut('Download', 'velero', download)
  const clone = await endOf(environment, 'CloneFromSnapshot', 'torn-download', name)
  assert.is(clone['status'].phase, 'Completed', clone['status'].message)
  const copy = await volumeOf(environment, 'torn-download', NAME)
  assert.is(await sha256(copy.file), await sha256(volume.file))
})

/** In the namespaces of the tests so far: the claim that was backed up, or the one that was restored. */
const STANDING = ['shop', 'by-hand', 'freed', 'after-edit', 'torn-snapshot', 'after-lost-record', 'torn-download']
const claimsIn = (namespaces: string[]) => namespaces.map((namespace) => `${namespace}/${NAME}`)

edits(
  'nothing is left of what was edited and torn out: in vCenter, in Kubernetes, and after a prune in the bucket',
  async () => {
    await assertNothingStands(claimsIn(STANDING))
    const data = await openRepository(environment)
    const isPruned = async () => {
      await environment.ping('dormouse-maintenance')
      return (await unreachableObjects(data)).length === 0
    }
    await until('nothing is unreachable', isPruned, 60_000)
  },
)

edits('a running Upload that is deleted without its finalizer is made anew, and the backup is whole', async () => {
  const { file, name, upload } = await runningBackup('torn-upload')
  await tearOut('Upload', 'velero', upload)
  const snapshot = await endOf(environment, 'Snapshot', 'torn-upload', name)
  assert.is(snapshot['status'].phase, 'Uploaded', snapshot['status'].message)
  const copy = await restore(environment, { snapshot }, 'after-tear')
  assert.is(await sha256(copy.volume.file), await sha256(file))
  // Nothing records the session of the first Upload any more: prune gives it up after it has been idle for a day.
  await assertNothingStands(claimsIn([...STANDING, 'torn-upload', 'after-tear']))
})

edits.run()
