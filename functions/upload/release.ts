// What an upload that is over gives back: its disk, which a mover that died has left protected, and its session in the repository.

import type { Upload } from '#shared/api/types.ts'
import type { Result, Work } from '#shared/controllers/controller.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { isLate } from '#shared/controllers/slice.ts'
import { parseDiskSnapshotId } from '#shared/domain/ids.ts'
import type { Clock } from '#shared/kernel/clock.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { attempt } from './attempts.ts'

/** Two calls of vCenter by VDDK, and the start of a process. */
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
 * An upload that is given up must not leave its session open: checkpoints would stay, and a prune would wait for it. Sealed by
 * somebody in the last moment it goes, too, as it was told to have failed. Undefined: done, or left to the next prune, as a store
 * that cannot be used may be why the upload was given up.
 */
export async function endSession({ deps, lease }: Work<'Upload', TransferDeps>): Promise<Result<'Upload'> | undefined> {
  const upload = lease.latest()
  const session = upload.status?.session
  if (typeof session !== 'string' || session === '') return undefined
  const what = { failed: "the upload's session could not be given up", left: 'the next prune does it' }
  return await attempt(deps, upload, what, () => abandonBackup(deps, upload, session))
}

/**
 * A mover protects its disk from migration, and vCenter keeps that when the mover dies. The next slice takes it back; when there is
 * none, this does. It also closes what an idle mover of this process still has open. Without a slice there was no mover, and a disk
 * that is gone has nothing to be taken back.
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

/** A vCenter that does not answer holds the mover inside VDDK: it is given up, and rejects. */
async function inTime(clock: Clock, work: (kill: AbortSignal) => Promise<void>): Promise<void> {
  const over = new AbortController()
  const kill = new AbortController()
  const late = isLate(clock, LIMIT_MS, over.signal).then((isLate) => isLate && kill.abort())
  await work(kill.signal).finally(() => over.abort())
  await late
}

/** No backup of this session can be sealed any more, and none is left. */
export async function abandonBackup(
  { access: accessOf, repositories }: Pick<TransferDeps, 'access' | 'repositories'>,
  upload: Upload,
  session: string,
): Promise<void> {
  const { fcdId, snapshotId } = parseDiskSnapshotId(upload.spec.snapshotID)
  const access = await accessOf(upload.spec.backupRepository ?? '')
  // Sealed in the last moment: nobody was told of it yet, so it goes as the user asked.
  if (await repositories.abandon(access, session)) return
  const roots = await repositories.rootsOf(access, fcdId, snapshotId)
  const own = roots.filter((root) => root.session === session).map(({ root }) => root)
  await repositories.forget(access, fcdId, snapshotId, own)
}
