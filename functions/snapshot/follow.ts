// After its disk snapshot is taken, a Snapshot follows its Upload, and creates the Upload again if it is gone.

import type { Snapshot, StatusChangeOf } from '#shared/api/types.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { VolumeDeps } from '#shared/controllers/deps.ts'
import { removeLocalSnapshot } from '#shared/controllers/local-snapshot.ts'
import { isMadeFor, mirror } from '#shared/controllers/mirror.ts'
import { writeOutcome } from '#shared/controllers/outcome.ts'
import { parseClaimSnapshotId } from '#shared/domain/ids.ts'
import { isUploadOf } from '#shared/domain/removal.ts'
import { stepPatch } from '#shared/domain/step-label.ts'
import { isUploadOver, seeUpload } from '#shared/domain/upload.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { whoseSnapshot } from './proof.ts'
import { type DiskSnapshot, ensureUpload, mayHaveBeenOwn, requireRepository } from './take.ts'
import { volumeStill } from './volume.ts'

/**
 * The Upload normally writes its state into the Snapshot; this path repairs whatever was lost. undefined: nothing proves that the disk
 * snapshot in the status belongs to this object, and nothing was touched.
 */
export async function followUpload(
  deps: VolumeDeps,
  snapshot: Snapshot,
  cancelled: boolean,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { disk } = parseClaimSnapshotId(snapshot.status?.snapshotID ?? '')
  const upload = await deps.cluster.read('Upload', deps.settings.veleroNamespace, `upload-${disk.snapshotId}`)
  if (upload === undefined) return await withoutUpload(deps, snapshot, disk, signal)
  if (!isMadeFor(upload, snapshot) || !isUploadOf(upload, disk)) return undefined
  if (cancelled && !isUploadOver(seeUpload(upload).phase) && upload.spec.uploadCancel !== true) {
    await deps.cluster.patch('Upload', upload, {
      spec: { uploadCancel: true },
      metadata: stepPatch('upload', deps.clock.nowMs()),
    })
    return 'told its Upload to stop'
  }
  await mirror(deps, snapshot, upload)
  return `follows its Upload: ${upload.status?.phase ?? 'New'}`
}

/**
 * The Upload was deleted, and the process that finished it died before it updated this Snapshot. A new Upload finds out what exists: a
 * sealed backup (the upload function checks its owner), a disk snapshot that still has to be uploaded, or neither.
 */
async function withoutUpload(
  deps: VolumeDeps,
  snapshot: Snapshot,
  disk: DiskSnapshot,
  signal: AbortSignal,
): Promise<string | undefined> {
  const whose = await whoseSnapshot(deps, snapshot, disk)
  if (whose === 'foreign') return undefined
  if (snapshot.status?.phase === 'Canceling') {
    if (whose === 'own') await removeLocalSnapshot(deps, disk.fcdId, disk.snapshotId, signal)
    return await finishCancel(deps, snapshot)
  }
  if (whose === 'gone' && !(await mayHaveBeenOwn(deps, snapshot, disk))) return undefined
  try {
    await requireRepository(deps, snapshot)
    await ensureUpload(deps, snapshot, disk, await volumeStill(deps, snapshot, disk))
  } catch (error) {
    if (error instanceof TerminalError && ['NamespaceNotAllowed', 'NotPermitted'].includes(error.reason))
      return await refused(deps, snapshot, error)
    throw error
  }
  const status = { uploadName: `upload-${disk.snapshotId}` }
  await writeOutcome(deps, 'Snapshot', snapshot, { status, step: 'waiting' })
  return 'created its Upload'
}

/**
 * The user has named another repository since the disk snapshot was taken. The disk snapshot stays: it may be a backup that is kept in
 * vCenter.
 */
async function refused(deps: VolumeDeps, snapshot: Snapshot, { reason, message }: TerminalError): Promise<string> {
  const completionTimestamp = rfc3339(deps.clock.nowMs())
  const status = { phase: 'UploadFailedAfterRetry', reason, message, completionTimestamp } as const
  await announce(deps, snapshot, 'Warning', reason, message)
  await writeOutcome(deps, 'Snapshot', snapshot, { status, step: 'done', dropFinalizer: true })
  return `failed: ${reason}`
}

async function finishCancel(deps: VolumeDeps, snapshot: Snapshot): Promise<string> {
  const status: StatusChangeOf<'Snapshot'> = {
    phase: 'Canceled',
    message: 'cancelled; its Upload is gone',
    reason: 'Canceled',
    completionTimestamp: rfc3339(deps.clock.nowMs()),
  }
  await writeOutcome(deps, 'Snapshot', snapshot, { status, step: 'done', dropFinalizer: true })
  return 'cancelled'
}
