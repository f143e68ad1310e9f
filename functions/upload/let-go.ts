// What a mover that died has left at the disk of an upload that is over.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { isLate } from '#shared/controllers/transfer.ts'
import { parseDiskSnapshotId } from '#shared/domain/ids.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'

/** Two calls of vCenter by VDDK, and the start of a process. */
const LIMIT_MS = 20 * SECOND_MS

/**
 * A mover protects its disk from migration, and vCenter keeps that when the mover dies. The next slice takes it back; when there is
 * none, this does. It also closes what an idle mover of this process still has open. Without a slice there was no mover, and a disk
 * that is gone has nothing to be taken back.
 */
export async function letGoOfDisk(deps: TransferDeps, upload: KubeObject): Promise<void> {
  if (Number(upload['status']?.slice ?? 0) === 0) return
  const { fcdId, snapshotId } = parseDiskSnapshotId(upload['spec'].snapshotID)
  try {
    const access = await deps.volumes.diskAccess(fcdId)
    await inTime(deps, (kill) => deps.mover.endAccess({ access, fcdId, snapshotId }, kill))
  } catch (error) {
    if (!(error instanceof DormouseError) || error.reason !== 'VolumeNotFound') throw error
  }
}

/** A vCenter that does not answer holds the mover inside VDDK: it is given up, and rejects. */
async function inTime(deps: TransferDeps, work: (kill: AbortSignal) => Promise<void>): Promise<void> {
  const over = new AbortController()
  const kill = new AbortController()
  const late = isLate(deps, LIMIT_MS, over.signal).then((isLate) => isLate && kill.abort())
  await work(kill.signal).finally(() => over.abort())
  await late
}
