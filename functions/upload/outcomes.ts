// The outcomes of an upload: sealed, cleaned up, or failed and retried. Cancelling is in ./abort.ts.

import type { StatusChangeOf, Upload } from '#shared/api/types.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { Result, Work } from '#shared/controllers/controller.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { HEAVY_POLL_MS, removeLocalSnapshot } from '#shared/controllers/local-snapshot.ts'
import { overWith } from '#shared/controllers/outcome.ts'
import { reasonOf } from '#shared/controllers/reason.ts'
import { cutByCancel, failuresWith } from '#shared/controllers/slice.ts'
import { setCondition } from '#shared/domain/conditions.ts'
import { parseDiskSnapshotId } from '#shared/domain/ids.ts'
import { progressView } from '#shared/domain/progress.ts'
import { isHopelessTransfer } from '#shared/domain/upload.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { asError, CapacityError, isApiTrouble } from '#shared/kernel/errors.ts'
import type { Healed, UploadProgress } from '#shared/ports/mover.ts'
import { canceled } from './abort.ts'
import { retryLater, whyNoOther } from './attempts.ts'
import { endAccess, endSession } from './release.ts'

type UploadWork = Work<'Upload', TransferDeps>
type Conditions = Parameters<typeof setCondition>[0]

/** `closed`: the last mover that had the disk open closed it in order. `perhaps held`: a mover may have died since. */
export type DiskState = 'closed' | 'perhaps held'

type UploadMode = NonNullable<NonNullable<Upload['status']>['mode']>

/** The root is durable and verified: from here on, nothing can turn this backup into a failure. */
export async function seal(
  work: UploadWork,
  end: { root: string; mode?: UploadMode; progress?: UploadProgress; healed?: Healed },
  disk: DiskState,
): Promise<Result<'Upload'>> {
  const sealed = {
    type: 'Uploaded',
    status: 'True',
    reason: 'BackupSealed',
    message: 'the backup is complete and verified in the repository',
  } as const
  const conditions = setCondition(await tellOfDamage(work, end.healed), sealed, work.deps.clock.nowMs())
  await work.lease.patch({
    status: {
      root: end.root,
      conditions,
      ...(end.mode === undefined ? {} : { mode: end.mode }),
      ...(end.progress === undefined ? {} : { progress: progressOf(end.progress) }),
    },
  })
  return await cleanUp(work, 'Completed', disk)
}

/** This backup is complete, but earlier ones are not, which is worth an alarm. Returns the conditions. */
async function tellOfDamage({ deps, lease }: UploadWork, healed: Healed | undefined): Promise<Conditions> {
  const { conditions } = lease.latest().status ?? {}
  if (healed === undefined) return conditions
  const message =
    `earlier backups of this volume have lost data in the repository (${healed.packs} packs, ${healed.pages} pages of the map): ` +
    'they cannot be restored as a whole; this one read it from the disk again and is whole'
  await announce(deps, lease.latest(), 'Warning', 'PackMissing', message)
  const damage = { type: 'EarlierBackupsDamaged', status: 'True' as const, reason: 'PackMissing', message }
  return setCondition(conditions, damage, deps.clock.nowMs())
}

export async function cleanUp(
  work: UploadWork,
  ends: 'Completed' | 'UploadFailedAfterRetry',
  disk: DiskState = 'perhaps held',
): Promise<Result<'Upload'>> {
  const { deps, lease } = work
  const upload = lease.latest()
  let left: 'gone' | 'foreign'
  try {
    const { fcdId, snapshotId } = parseDiskSnapshotId(upload.spec.snapshotID)
    left = await removeLocalSnapshot(deps, fcdId, snapshotId, lease.signal, HEAVY_POLL_MS)
  } catch (error) {
    if (isApiTrouble(error)) throw error
    return cleanUpFailed(work, asError(error))
  }
  const completed = ends === 'Completed'
  const stuck =
    (disk === 'closed' ? undefined : await endAccess(work)) ?? (completed ? undefined : await endSession(work))
  if (stuck !== undefined) return stuck
  const nowMs = deps.clock.nowMs()
  const status: StatusChangeOf<'Upload'> = {
    phase: ends,
    conditions: setCondition(lease.latest().status?.conditions, REMOVED[left], nowMs),
    completionTimestamp: rfc3339(nowMs),
    nextRetryTimestamp: null,
    ...(completed ? { message: 'Upload completed', reason: 'Completed' } : {}),
  }
  const words = completed ? 'the backup is complete' : (upload.status?.message ?? 'the upload failed')
  return { outcome: overWith(status), why: ends, event: [completed ? 'Normal' : 'Warning', ends, words] }
}

const REMOVED = {
  gone: {
    type: 'LocalSnapshotRemoved',
    status: 'True',
    reason: 'LocalSnapshotRemoved',
    message: 'the disk snapshot is gone from vCenter',
  },
  foreign: {
    type: 'LocalSnapshotRemoved',
    status: 'False',
    reason: 'NotPermitted',
    message: 'the disk snapshot stays: another cluster or program has made it',
  },
} as const

function cleanUpFailed({ deps, lease }: UploadWork, error: Error): Result<'Upload'> {
  const status = lease.latest().status ?? {}
  const reason = reasonOf(deps.log, error)
  const message = `the disk snapshot could not be removed: ${error.message}`
  const kept = { type: 'LocalSnapshotRemoved', status: 'False', reason, message } as const
  const conditions = setCondition(status.conditions, kept, deps.clock.nowMs())
  const later = retryLater(deps, { phase: 'CleanupFailed', message, conditions }, failuresWith(status), reason)
  return { ...later, event: ['Warning', 'CleanupFailed', message] }
}

/** Handles an error of any action. */
export async function recordFailure(work: UploadWork, error: Error): Promise<Result<'Upload'>> {
  const cut = cutByCancel<'Upload'>(work, 'upload', error)
  if (cut !== undefined) return cut
  const { deps, lease } = work
  const status = lease.latest().status ?? {}
  const reason = reasonOf(deps.log, error)
  deps.countSlice('failed')
  const failures = failuresWith(status)
  const failed = { type: 'Uploaded', status: 'False', reason, message: error.message } as const
  const conditions = setCondition(status.conditions, failed, deps.clock.nowMs())
  await announce(deps, lease.latest(), 'Warning', reason, error.message)
  const isIdUnusable = reason === 'SnapshotIDInvalid'
  if (status.phase === 'Canceling' && isIdUnusable)
    return canceled(`cancelled; its id names nothing that could be removed: ${error.message}`, deps.clock.nowMs())
  if (status.phase === 'Canceling')
    return retryLater(deps, { phase: 'Canceling', message: error.message, conditions }, failures, reason)
  const end = isHopelessTransfer(reason) ? 'hopeless' : await whyNoOther(deps, lease.latest(), failures)
  if (end !== undefined) {
    const message = end === 'too late' ? `${error.message}; ${NO_ROOM}` : error.message
    await lease.patch({ status: { givenUp: true, message, reason, retryCount: failures, conditions } })
    return isIdUnusable ? unusable(error, deps.clock.nowMs()) : await cleanUp(work, 'UploadFailedAfterRetry')
  }
  // A fenced session never seals: the next attempt begins a new one.
  const session = reason === 'SessionFenced' ? { session: null } : {}
  const change = { ...session, ...trueSize(error) }
  return retryLater(deps, { phase: 'UploadError', message: error.message, conditions, ...change }, failures, reason)
}

/** The next attempt uses the size of the disk snapshot itself, and not an earlier backup of another size. */
function trueSize(error: Error): StatusChangeOf<'Upload'> {
  return error instanceof CapacityError ? { volumeBytes: error.diskBytes, parentRoot: null } : {}
}

const NO_ROOM = "the backup's time limit of operations leaves no room for another attempt"

/** An id that cannot be parsed names no snapshot that could be removed. */
function unusable(error: Error, nowMs: number): Result<'Upload'> {
  const status: StatusChangeOf<'Upload'> = {
    phase: 'UploadFailedAfterRetry',
    message: error.message,
    reason: 'SnapshotIDInvalid',
    completionTimestamp: rfc3339(nowMs),
  }
  return { outcome: overWith(status), why: 'SnapshotIDInvalid' }
}

export function progressOf(progress: UploadProgress): NonNullable<StatusChangeOf<'Upload'>['progress']> {
  const { bytesRead, bytesSent, bytesStored } = progress
  return { ...progressView(progress.bytesDone, progress.totalBytes), bytesRead, bytesSent, bytesStored }
}
