// What happens while the bucket or vCenter fails: back-off, limits of retries, and never a false Completed. One second stands for each minute.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KindName } from '#shared/api/kinds.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import type { Recorder } from '#test/environment/kubernetes/wait.ts'
import {
  aSnapshot,
  type Backup,
  backUp,
  claimRepository,
  remove,
  restore,
  typeOf,
  uploadOf,
} from '#test/environment/main-job.ts'
import { CREDENTIALS_SECRET, secret } from '#test/environment/seed.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
const LONG_MS = 150_000

const retries = suite('retries')
let environment: Environment
let repository: string
let volume: Volume
let uploads: Recorder
let downloads: Recorder
let backup: Backup

retries.before(async () => {
  environment = await startEnvironment({
    idleMs: 60_000,
    env: { DORMOUSE_BACKOFF_UNIT_SECONDS: '1', DORMOUSE_DUE_SECONDS: '1' },
    pingEveryMs: { 'dormouse-sweep': 500 },
  })
  repository = await claimRepository(environment)
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: 16 * MIB })
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise('orders', 4 * MIB) }])
  uploads = await environment.record('Upload', 'velero')
  downloads = await environment.record('Download', 'velero')
  backup = await backUp(environment, CLAIM, repository)
})
retries.after(async () => {
  await environment.stop()
})

const phaseOf = (object: LooseObject | undefined) => object?.['status']?.phase
const isDone = (object: LooseObject | undefined) => object?.metadata.labels?.['dormouse.dev/step'] === 'done'

async function began(name: string): Promise<string> {
  await environment.api.create(aSnapshot(name, CLAIM, repository))
  const isNamed = (seen: LooseObject | undefined) => Boolean(seen?.['status']?.uploadName)
  return (await environment.waitFor('Snapshot', 'shop', name, isNamed)).object['status'].uploadName
}

async function until(kind: KindName, namespace: string, name: string, phase: string): Promise<LooseObject> {
  return (await environment.waitFor(kind, namespace, name, (seen) => phaseOf(seen) === phase, LONG_MS)).object
}

const localSnapshots = async () => (await environment.vcenter.disk(volume.fcdId))!.snapshots.length

/** The bucket refuses every call; `mend` restores the right keys. */
async function breakCredentials(): Promise<{ mend: () => Promise<void> }> {
  const right = environment.s3.credentialsText()
  const wrong = right.replace(environment.s3.secretAccessKey, 'wrong')
  await environment.api.apply(secret(CREDENTIALS_SECRET, { cloud: wrong }))
  return {
    mend: async () => {
      await environment.api.apply(secret(CREDENTIALS_SECRET, { cloud: right }))
    },
  }
}

async function failCleanUp(): Promise<void> {
  await environment.vcenter.addFault({ method: 'VslmDeleteSnapshot', taskFault: 'FileLocked', times: 1000 })
}

/** The status after each attempt of a transfer, in order. */
function failuresOf(recorder: Recorder, name: string, phase: string): Record<string, unknown>[] {
  const states = recorder.of(name).map(({ object }) => object['status'] ?? {})
  const failed = states.filter((status) => status.phase === phase)
  return failed.filter((status, index) => failed.findIndex((one) => one.retryCount === status.retryCount) === index)
}

async function setRetryMax(count: number): Promise<void> {
  const metadata = { name: 'velero-vsphere-plugin-config', namespace: 'velero' }
  const data = { 'upload-cr-retry-max': String(count) }
  await environment.api.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data })
}

retries(
  'row 34: an upload backs off 1, 2, 4 … units while the bucket is away, and completes when it is back',
  async () => {
    await environment.s3.down()
    const upload = await began('bucket-away')
    const isThird = (seen: LooseObject | undefined) =>
      phaseOf(seen) === 'UploadError' && seen?.['status'].retryCount >= 3
    await environment.waitFor('Upload', 'velero', upload, isThird, LONG_MS)
    await environment.s3.up()
    await until('Upload', 'velero', upload, 'Completed')
    const failed = failuresOf(uploads, upload, 'UploadError')
    assert.equal(failed.map(({ retryCount }) => retryCount).slice(0, 3), [1, 2, 3])
    assert.equal(failed.map(({ currentBackOff }) => currentBackOff).slice(0, 3), [1, 2, 4])
    for (const { reason, nextRetryTimestamp } of failed) {
      assert.is(reason, 'S3Unavailable')
      assert.match(nextRetryTimestamp as string, /Z$/)
    }
    await environment.waitFor('Snapshot', 'shop', 'bucket-away', (seen) => phaseOf(seen) === 'Uploaded' && isDone(seen))
    assert.is(await localSnapshots(), 0)
  },
)

retries('row 36: a clean-up that fails is CleanupFailed until it succeeds, and the backup is whole', async () => {
  await failCleanUp()
  const upload = await began('cleanup')
  await until('Upload', 'velero', upload, 'CleanupFailed')
  await until('Snapshot', 'shop', 'cleanup', 'CleanupAfterUploadFailed')
  await until('Upload', 'velero', upload, 'CleanupFailed')
  assert.is(await localSnapshots(), 1)
  await environment.vcenter.clearFaults()
  await until('Upload', 'velero', upload, 'Completed')
  const { object: snapshot } = await environment.waitFor('Snapshot', 'shop', 'cleanup', isDone)
  assert.is(phaseOf(snapshot), 'Uploaded')
  assert.is(await localSnapshots(), 0)
  const whole = { ...backup, snapshot, upload: await uploadOf(environment, snapshot) }
  const restored = await restore(environment, whole, 'after-cleanup')
  assert.is(await sha256(restored.volume.file), await sha256(volume.file))
})

retries(
  'row 35: the ceiling is the ConfigMap’s; then the upload has failed and its local snapshot is gone',
  async () => {
    await setRetryMax(2)
    const { mend } = await breakCredentials()
    const upload = await began('ceiling')
    const { status } = await until('Upload', 'velero', upload, 'UploadFailedAfterRetry')
    await mend()
    assert.is(failuresOf(uploads, upload, 'UploadError').length, 2)
    assert.not.equal(status.reason, 'Completed')
    const { object } = await environment.waitFor('Snapshot', 'shop', 'ceiling', isDone)
    assert.is(phaseOf(object), 'UploadFailedAfterRetry')
    assert.is(await localSnapshots(), 0)
  },
)

retries('row 36: a failed upload whose clean-up fails, too, never becomes Completed', async () => {
  await setRetryMax(1)
  const { mend } = await breakCredentials()
  await failCleanUp()
  const upload = await began('twice-failed')
  await until('Upload', 'velero', upload, 'CleanupFailed')
  await mend()
  await environment.vcenter.clearFaults()
  await until('Upload', 'velero', upload, 'UploadFailedAfterRetry')
  const { object } = await environment.waitFor('Snapshot', 'shop', 'twice-failed', isDone)
  assert.is(phaseOf(object), 'UploadFailedAfterRetry')
  assert.not.ok(uploads.phasesOf(upload).includes('Completed'))
  assert.is(await localSnapshots(), 0)
})

retries(
  'row 37: a download is tried again six times, five units apart, then it and its restore have failed',
  async () => {
    const { mend } = await breakCredentials()
    await assertRejects(restore(environment, backup, 'refused', { timeoutMs: LONG_MS }), /ended as Failed/)
    await mend()
    const [name] = [...new Set(downloads.seen.map(({ object }) => object))]
      .filter((object) => object['spec'].clonefromSnapshotReference.startsWith('refused/'))
      .map(({ metadata }) => metadata.name)
    const tries = failuresOf(downloads, name!, 'Retry')
    assert.equal(
      tries.map(({ retryCount }) => retryCount),
      [1, 2, 3, 4, 5, 6],
    )
    const times = tries.map(({ nextRetryTimestamp }) => Date.parse(nextRetryTimestamp as string))
    for (const [index, time] of times.slice(1).entries())
      assert.ok(time - times[index]! >= 5000, `${(time - times[index]!) / 1000} s between two attempts`)
    assert.is(phaseOf(await environment.api.get({ ...typeOf('Download'), namespace: 'velero', name: name! })), 'Failed')
    assert.equal(await environment.api.list('v1', 'PersistentVolumeClaim', 'refused'), [])
  },
)

retries(
  'a deletion is InProgress with its reason while vCenter or the bucket fails, and never Completed before',
  async () => {
    const { mend } = await breakCredentials()
    const name = 'not-yet'
    const { snapshotID } = backup.snapshot['status']
    const metadata = { name, namespace: 'velero' }
    await environment.api.create({
      ...typeOf('DeleteSnapshot'),
      metadata,
      spec: { snapshotID, backupRepository: repository },
    })
    const isRefused = (seen: LooseObject | undefined) => /^S3/.test(seen?.['status']?.reason ?? '')
    const { object, phases } = await environment.waitFor('DeleteSnapshot', 'velero', name, isRefused)
    assert.is(phaseOf(object), 'InProgress')
    assert.not.ok(phases.includes('Completed'))
    await mend()
    await until('DeleteSnapshot', 'velero', name, 'Completed')
  },
)

retries('rows 31, 33: a DeleteSnapshot without a phase is done, and what it deleted cannot be restored', async () => {
  const doomed = await backUp(environment, CLAIM, repository)
  await remove(environment, doomed)
  await assertRejects(restore(environment, doomed, 'gone'), /BackupNotFound/)
})

async function assertRejects(act: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await act.then(
    () => undefined,
    (thrown: Error) => thrown,
  )
  assert.match(error?.message ?? 'it did not fail', message)
}

retries.run()
