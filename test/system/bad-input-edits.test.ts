// Objects that a user edits while they are at work: a phase set by hand, a finalizer taken away, an object that is gone. What
// can go on ends right all the same; what was taken away leaves nothing behind.

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
import { askForClone, assertStanding, endOf, heldObjects, type Standing, settledStanding } from './support/bad-input.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }

const edits = suite('objects edited in mid-flight')
let environment: Environment
let repository: string
let volume: Volume
let backup: Backup
let before: Standing

edits.before(async () => {
  environment = await startEnvironment({
    env: {
      DORMOUSE_SLICE_SECONDS: '3',
      FAKE_VDDK_MBPS: '2',
      DORMOUSE_DUE_SECONDS: '2',
      DORMOUSE_BACKOFF_UNIT_SECONDS: '1',
    },
    pingEveryMs: { 'dormouse-sweep': 2000 },
  })
  repository = await claimRepository(environment)
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: 24 * MIB })
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise('orders', 16 * MIB) }])
  backup = await backUp(environment, CLAIM, repository)
  before = await settledStanding(environment)
})
edits.after(async () => {
  await environment.stop()
})

/** Begins a backup of new data, and waits until its Upload has moved something of it. */
async function runningBackup(): Promise<{ name: string; upload: string }> {
  const name = `snap-${randomUUID()}`
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise(name, 16 * MIB) }])
  await environment.api.create(aSnapshot(name, CLAIM, repository))
  const isNamed = (object: LooseObject | undefined) => Boolean(object?.['status']?.uploadName)
  const upload: string = (await environment.waitFor('Snapshot', CLAIM.namespace, name, isNamed)).object['status']
    .uploadName
  const isMoving = (seen: LooseObject | undefined) => seen?.['status']?.progress?.bytesRead > 0
  await environment.waitFor('Upload', 'velero', upload, isMoving)
  return { name, upload }
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

/** As with `kubectl edit` and `kubectl delete`: nobody cleans up for it. */
async function tearOut(kind: KindName, namespace: string, name: string): Promise<void> {
  const ref = { ...typeOf(kind), namespace, name }
  await until(`${kind} ${name} is gone`, async () => {
    await environment.api.delete(ref)
    if ((await environment.api.get(ref)) === undefined) return true
    await environment.api.patch(ref, { metadata: { finalizers: null } }).catch(() => undefined)
    return (await environment.api.get(ref)) === undefined
  })
}

/** Nothing of it is in vCenter or Kubernetes. */
async function assertNothingStands(): Promise<void> {
  await until('nothing is held', async () => (await heldObjects(environment)).length === 0, 60_000)
  await until('no Lease is held', async () => (await heldLeases()).length === 0, 60_000)
  await assertStanding(environment, before)
}

/** Nor, after a prune, in the bucket. */
async function assertNothingLeft(): Promise<void> {
  await assertNothingStands()
  const data = await openRepository(environment)
  const isPruned = async () => {
    await environment.ping('dormouse-maintenance')
    return (await unreachableObjects(data)).length === 0
  }
  await until('nothing is unreachable', isPruned, 60_000)
}

async function heldLeases(): Promise<string[]> {
  const leases = await environment.api.list('coordination.k8s.io/v1', 'Lease', 'velero')
  return leases.filter(isHeldClaim).map(({ metadata }) => metadata.name)
}

edits('phases set by hand in mid-flight make no false end', async () => {
  const ref = { ...typeOf('Snapshot'), namespace: CLAIM.namespace, name: 'by-hand' }
  await environment.api.create({
    ...aSnapshot('by-hand', CLAIM, repository),
    metadata: { name: 'by-hand', namespace: CLAIM.namespace, labels: { 'dormouse.dev/step': 'done' } },
  })
  await environment.api.patch(ref, { status: { phase: 'Uploading' } }, 'status')
  await environment.api.patch(ref, { metadata: { labels: { 'dormouse.dev/step': 'snapshot' } } })
  const snapshot = await endOf(environment, 'Snapshot', CLAIM.namespace, 'by-hand')
  assert.is(snapshot['status'].phase, 'Uploaded', snapshot['status'].message)
  await assertNothingLeft()
})

edits('a running backup whose finalizers are taken away goes on to its end', async () => {
  const { name, upload } = await runningBackup()
  for (const ref of [
    { ...typeOf('Snapshot'), namespace: CLAIM.namespace, name },
    { ...typeOf('Upload'), namespace: 'velero', name: upload },
  ])
    await environment.api.patch(ref, { metadata: { finalizers: null } })
  const snapshot = await endOf(environment, 'Snapshot', CLAIM.namespace, name)
  assert.is(snapshot['status'].phase, 'Uploaded', snapshot['status'].message)
  const copy = await restore(environment, { snapshot }, 'after-edit')
  assert.is(await sha256(copy.volume.file), await sha256(volume.file))
  before = await settledStanding(environment)
  await assertNothingLeft()
})

edits(
  'a Snapshot that is torn out in mid-flight costs no backup: its Upload ends, and vCenter keeps nothing',
  async () => {
    const { name, upload } = await runningBackup()
    const seen = await environment.api.get({ ...typeOf('Snapshot'), namespace: CLAIM.namespace, name })
    await tearOut('Snapshot', CLAIM.namespace, name)
    const end = await endOf(environment, 'Upload', 'velero', upload)
    assert.is(end['status'].phase, 'Completed', end['status'].message)
    const copy = await restore(environment, { snapshot: seen! }, 'after-lost-record')
    assert.is(await sha256(copy.volume.file), await sha256(volume.file))
    before = await settledStanding(environment)
    await assertNothingLeft()
  },
)

edits('a CloneFromSnapshot that is torn out in mid-flight leaves no claim and no disk', async () => {
  const { name, download } = await runningRestore('torn-clone')
  await tearOut('CloneFromSnapshot', 'torn-clone', name)
  const end = await endOf(environment, 'Download', 'velero', download)
  assert.equal([end['status'].phase, end['status'].reason], ['Failed', 'Canceled'])
  await assertNothingLeft()
})

edits('a Download that is torn out in mid-flight is made anew, and the claim is whole', async () => {
  const { name, download } = await runningRestore('torn-download')
  await tearOut('Download', 'velero', download)
  const clone = await endOf(environment, 'CloneFromSnapshot', 'torn-download', name)
  assert.is(clone['status'].phase, 'Completed', clone['status'].message)
  const copy = await volumeOf(environment, 'torn-download', CLAIM.name)
  const whole = await restore(environment, backup, 'whole')
  assert.is(await sha256(copy.file), await sha256(whole.volume.file))
  before = await settledStanding(environment)
  await assertNothingLeft()
})

edits('an Upload that is torn out in mid-flight is made anew, and the backup is whole', async () => {
  const { name, upload } = await runningBackup()
  await tearOut('Upload', 'velero', upload)
  const snapshot = await endOf(environment, 'Snapshot', CLAIM.namespace, name)
  assert.is(snapshot['status'].phase, 'Uploaded', snapshot['status'].message)
  const copy = await restore(environment, { snapshot }, 'after-tear')
  assert.is(await sha256(copy.volume.file), await sha256(volume.file))
  before = await settledStanding(environment)
  // The first one's session is known to nobody: prune gives it up when it has stood still for a day.
  await assertNothingStands()
})

edits.run()
