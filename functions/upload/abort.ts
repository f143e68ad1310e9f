// Cancels an upload: nothing of it stays in vCenter, and its backup can no longer be sealed.

import type { StatusChangeOf, Upload } from '#shared/api/types.ts'
import type { Result, Work } from '#shared/controllers/controller.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { HEAVY_POLL_MS, removeLocalSnapshot } from '#shared/controllers/local-snapshot.ts'
import { overWith } from '#shared/controllers/outcome.ts'
import { parseDiskSnapshotId } from '#shared/domain/ids.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import { abandonBackup, endAccess } from './release.ts'

/**
 * Cleans up vCenter before the bucket, which may be unreachable. A warm mover may still have the snapshot open and would keep it locked, so
 * the disk is released first. A paused mover may open the snapshot again until it is removed, but not after that. So the disk is released
 * once more after the removal, and this release is final.
 */
export async function abort(work: Work<'Upload', TransferDeps>): Promise<Result<'Upload'>> {
  const { deps, lease } = work
  const upload = lease.latest()
  const { fcdId, snapshotId } = parseDiskSnapshotId(upload.spec.snapshotID)
  const locked = await endAccess(work)
  await removeLocalSnapshot(deps, fcdId, snapshotId, lease.signal, HEAVY_POLL_MS)
  const stuck = locked ?? (await endAccess(work))
  if (stuck !== undefined) return stuck
  const left = await abandonUnlessGone(deps, upload)
  const message = Number(upload.status?.slice ?? 0) === 0 ? NEVER_BEGAN : WHAT_IT_LEFT[left]
  return canceled(message, deps.clock.nowMs())
}

const NEVER_BEGAN = 'cancelled before it had a transfer slot; nothing was stored'
const WHAT_IT_LEFT = {
  checkpoint: 'cancelled; the next backup of this disk goes on from what it had stored',
  nothing: 'cancelled; it left no checkpoint for the next backup of this disk to go on from',
  unknown: 'cancelled; its repository is gone, so what it had stored there was left as it is',
} as const

/** `unknown`: the BackupRepository was deleted meanwhile, so the bucket cannot be reached. No backup was sealed; prune removes the rest. */
async function abandonUnlessGone(
  deps: Pick<TransferDeps, 'access' | 'repositories'>,
  upload: Upload,
): Promise<keyof typeof WHAT_IT_LEFT> {
  const session = upload.status?.session
  if (typeof session !== 'string' || session === '') return 'nothing'
  try {
    await abandonBackup(deps, upload, session)
    const access = await deps.access(upload.spec.backupRepository ?? '')
    return (await deps.repositories.leavesCheckpoint(access, session)) ? 'checkpoint' : 'nothing'
  } catch (error) {
    if (error instanceof DormouseError && error.reason === 'RepositoryNotFound') return 'unknown'
    throw error
  }
}

export function canceled(message: string, nowMs: number): Result<'Upload'> {
  const status: StatusChangeOf<'Upload'> = {
    phase: 'Canceled',
    message,
    reason: 'Canceled',
    completionTimestamp: rfc3339(nowMs),
    nextRetryTimestamp: null,
  }
  return { outcome: overWith(status), why: 'Canceled' }
}
