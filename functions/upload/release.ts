// What an upload releases when it ends: its disk, which a dead mover left protected from migration, and its session in the repository.

import type { Upload } from '#shared/api/types.ts'
import type { Result, Work } from '#shared/controllers/controller.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { isLate } from '#shared/controllers/slice.ts'
import { parseDiskSnapshotId } from '#shared/domain/ids.ts'
import type { Clock } from '#shared/kernel/clock.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { attempt } from './attempts.ts'

/** Enough for two calls to vCenter by VDDK, and the start of a process. */
const LIMIT_MS = 20 * SECOND_MS

/** Undefined: done, or left to the next backup of the disk. */
export async function endAccess({ deps, lease }: Work<'Upload', TransferDeps>): Promise<Result<'Upload'> | undefined> {
  const upload = lease.latest()
  return await attempt(deps, upload, LEFT_HELD, () => releaseDisk(deps, upload))
}

const LEFT_HELD = {
  failed: 'the disk could not be released for migration in vCenter',
  left: 'the next backup of it does it',
}

/**
 * An upload that is given up must not leave its session open: its checkpoints would stay, and a prune would wait for it. A backup that
 * another process sealed at the last moment is removed too, because the upload has been reported as failed. Undefined: done, or left to the
 * next prune, because an unusable store may be the reason why the upload was given up.
 */
export async function endSession({ deps, lease }: Work<'Upload', TransferDeps>): Promise<Result<'Upload'> | undefined> {
  const upload = lease.latest()
  const session = upload.status?.session
  if (typeof session !== 'string' || session === '') return undefined
  const what = { failed: "the upload's session could not be given up", left: 'the next prune does it' }
  return await attempt(deps, upload, what, () => abandonBackup(deps, upload, session))
}

/**
 * A mover protects its disk from migration, and vCenter keeps the protection when the mover dies. The next slice removes it; if no slice
 * follows, this function does. It also closes the disk in an idle mover of this process. If no slice ran, there was no mover; if the disk
 * is gone, there is nothing to release.
 */
export async function releaseDisk(
  { clock, volumes, mover }: Pick<TransferDeps, 'clock' | 'volumes' | 'mover'>,
  upload: Upload,
): Promise<void> {
  if (Number(upload.status?.slice ?? 0) === 0) return
  const { fcdId, snapshotId } = parseDiskSnapshotId(upload.spec.snapshotID)
  try {
    const access = await volumes.diskAccess(fcdId)
    await inTime(clock, (kill) => mover.endAccess({ access, fcdId, snapshotId }, kill))
  } catch (error) {
    if (!(error instanceof DormouseError) || error.reason !== 'VolumeNotFound') throw error
  }
}

/** A vCenter that does not answer blocks the mover inside VDDK. The mover is then killed and rejects. */
async function inTime(clock: Clock, work: (kill: AbortSignal) => Promise<void>): Promise<void> {
  const over = new AbortController()
  const kill = new AbortController()
  const late = isLate(clock, LIMIT_MS, over.signal).then((isLate) => isLate && kill.abort())
  await work(kill.signal).finally(() => over.abort())
  await late
}

/** Makes sure that this session can no longer seal a backup, and that none of its backups is left. */
export async function abandonBackup(
  { access: accessOf, repositories }: Pick<TransferDeps, 'access' | 'repositories'>,
  upload: Upload,
  session: string,
): Promise<void> {
  const { fcdId, snapshotId } = parseDiskSnapshotId(upload.spec.snapshotID)
  const access = await accessOf(upload.spec.backupRepository ?? '')
  // The backup was sealed at the last moment. It has not been reported to the user, so it is removed as the user asked.
  if (await repositories.abandon(access, session)) return
  const roots = await repositories.rootsOf(access, fcdId, snapshotId)
  const own = roots.filter((root) => root.session === session).map(({ root }) => root)
  await repositories.forget(access, fcdId, snapshotId, own)
}
