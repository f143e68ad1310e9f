// One slice of a download: first the checks of backup and disk, then the data.

import type { BackupRepository, Download, StatusChangeOf } from '#shared/api/types.ts'
import type { Result, Work } from '#shared/controllers/controller.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { requireBackupRepository } from '#shared/controllers/repository-permit.ts'
import { requireDownloadAllowed, requireRestorePermit } from '#shared/controllers/restore-permit.ts'
import { endsFailures, moved, sliceDone } from '#shared/controllers/slice.ts'
import type { WorkLease } from '#shared/controllers/work-lease.ts'
import { BACKED_UP_ANNOTATION, formatBackedUp } from '#shared/domain/backed-up.ts'
import { parseDiskId, parseDiskSnapshotId } from '#shared/domain/ids.ts'
import { sizeText } from '#shared/domain/progress.ts'
import { isZeroed } from '#shared/domain/staged-volume.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { BackupSummary, DownloadProgress, DownloadRequest } from '#shared/ports/mover.ts'
import { cloneOf } from './clone.ts'
import { complete, progressOf } from './outcomes.ts'

export async function transfer(work: Work<'Download', TransferDeps>): Promise<Result<'Download'>> {
  const { deps, lease } = work
  const request = await prepare(deps, lease)
  const onProgress = (progress: DownloadProgress) => lease.report({ status: { progress: progressOf(progress) } })
  const end = await moved(deps.clock, lease, (stop) => deps.mover.download(request, { ...stop, onProgress }))
  deps.countSlice(end.state)
  if (end.state === 'more') {
    const { nextChunk, progress } = end
    const ended = endsFailures(lease.latest(), nextChunk > request.nextChunk)
    const status = { nextChunk, progress: progressOf(progress), ...ended }
    return sliceDone(work, 'download', status, 'slice done, more to write')
  }
  return complete(work, request.disk.fcdId, end.progress)
}

async function prepare(deps: TransferDeps, lease: WorkLease<'Download'>): Promise<DownloadRequest> {
  const download = lease.latest()
  const source = parseDiskSnapshotId(download.spec.snapshotID)
  const target = parseDiskId(download.spec.protectedEntityID)
  const clone = await cloneOf(deps.cluster, download)
  const { backupRepositoryName } = download.spec
  const asked = await requireBackupRepository(deps, backupRepositoryName)
  await requireDownloadAllowed(deps, download, clone, asked)
  const access = await deps.access(backupRepositoryName ?? '')
  const backup = await deps.repositories.find(access, source.fcdId, source.snapshotId)
  // `access` has read the BackupRepository itself, and the search may take minutes: the permit is judged on what is there now.
  const repository = await requireBackupRepository(deps, backupRepositoryName)
  requireSame(asked, repository)
  if (backup === undefined)
    throw new TerminalError('BackupNotFound', `the repository holds no sealed backup of ${download.spec.snapshotID}`)
  await requireRestorePermit(deps, download, clone, repository, backup)
  const facts = await deps.volumes.describe(target.fcdId)
  if (facts === undefined)
    throw new TerminalError('VolumeNotFound', `no configured vCenter knows the target disk ${target.fcdId}`)
  await tellRoot(lease, backup)
  if (facts.capacityBytes < backup.source.capacityBytes) {
    throw new TerminalError(
      'TargetTooSmall',
      `the target disk has ${sizeText(facts.capacityBytes)}, the backup needs ${sizeText(backup.source.capacityBytes)}`,
    )
  }
  return {
    repository: access,
    disk: { access: await deps.volumes.diskAccess(target.fcdId), fcdId: target.fcdId, snapshotId: undefined },
    root: backup.root,
    sliceMs: deps.settings.sliceMs,
    nextChunk: Number(lease.latest().status?.nextChunk ?? 0),
    targetIsZeroed: isZeroed(lease.latest()),
  }
}

/** Throws RetryableError `RepositoryReplaced`: the backup that was found may lie in the repository of either object. */
function requireSame({ metadata }: BackupRepository, now: BackupRepository): void {
  if (metadata.uid === now.metadata.uid) return
  const text = `BackupRepository ${metadata.name} was replaced by another object of that name while it was opened`
  throw new RetryableError('RepositoryReplaced', text)
}

/** Records what the clone function needs from the root: that function opens no repository, and trusts no other source. */
async function tellRoot(lease: WorkLease<'Download'>, { root, about, source }: BackupSummary): Promise<void> {
  const download = lease.latest()
  const told = formatBackedUp(source.capacityBytes, { ...about, volume: source.volume })
  const isNew = download.status?.root !== root
  if (!isNew && download.metadata.annotations?.[BACKED_UP_ANNOTATION] === told) return
  await lease.patch({
    metadata: { annotations: { [BACKED_UP_ANNOTATION]: told } },
    ...(isNew ? { status: beginRoot(download, root) } : {}),
  })
}

/** The disk may already hold data of another backup: from now on zeros are written too. This is recorded before any byte is written. */
function beginRoot(download: Download, root: string): StatusChangeOf<'Download'> {
  const isOther = (download.status?.root ?? '') !== ''
  return { root, nextChunk: 0, ...(isOther ? { holdsOtherData: true } : {}) }
}
