// The first part of a restore: the staged disk, and the Download that fills it.

import type { CloneFromSnapshot, Download, PersistentVolumeClaim, StatusChangeOf } from '#shared/api/types.ts'
import type { Result, Work } from '#shared/controllers/controller.ts'
import { requireRestoreAllowed } from '#shared/controllers/restore-permit.ts'
import { neededBytes } from '#shared/domain/backed-up.ts'
import { decodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { formatDiskId, unwrapToDisk } from '#shared/domain/ids.ts'
import { stagingClaimName } from '#shared/domain/staging.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { downloadNameOf, dropDownload, ensureDownload, requireOnlyDownload } from './download.ts'
import { provision } from './provision.ts'
import { tellWaitingClaim } from './waiting-claim.ts'

/**
 * Does everything up to the running Download; each part finds what an earlier run made. Every part uses the object that was decided on:
 * otherwise a user who edits `spec` meanwhile could have one repository checked and another one opened. `download` may be the Download of a
 * disk that was too small, which is then exchanged.
 */
export async function prepare(
  { deps, lease }: Work<'CloneFromSnapshot'>,
  download: Download | undefined,
): Promise<Result<'CloneFromSnapshot'>> {
  const tried = neededBytes(download) === undefined ? undefined : download
  const clone = lease.latest()
  if (clone.spec.kind !== 'PersistentVolumeClaim' || clone.spec.apiGroup !== '') {
    throw new TerminalError(
      'ResourceKindUnsupported',
      `spec.kind is ${JSON.stringify(clone.spec.kind)}: only PersistentVolumeClaim of the core group can be restored`,
    )
  }
  if (clone.spec.backupRepository === '') {
    throw new TerminalError(
      'LocalModeRestoreUnsupported',
      'spec.backupRepository is empty: a snapshot kept in vCenter (local mode) cannot be restored this way',
    )
  }
  const disk = unwrapToDisk(clone.spec.snapshotID)
  await requireRestoreAllowed(deps, clone)
  const stored = storedClaim(clone)
  const startTimestamp = clone.status?.startTimestamp ?? rfc3339(deps.clock.nowMs())
  await lease.patchStatus({
    phase: 'InProgress',
    startTimestamp,
    message: tried === undefined ? 'a staged disk is being provisioned' : 'a larger disk is made: the backup needs it',
    reason: 'Provisioning',
    stagingClaim: stagingClaimName(clone),
  })
  const staged = await provision(deps, clone, stored, lease, tried)
  if (tried !== undefined) await dropDownload(deps, tried)
  await requireOnlyDownload(deps, clone, disk, staged)
  const downloadName = downloadNameOf(clone, disk)
  // For people, and a hint for the sweep, which wakes the clone when that Download has ended. Nothing else uses these fields.
  await lease.patchStatus({
    downloadName,
    volumeName: staged.volume.metadata.name,
    volumeID: formatDiskId(staged.fcdId),
    reclaimPolicy: staged.volume.spec.persistentVolumeReclaimPolicy ?? 'Delete',
  })
  await ensureDownload(deps, clone, disk, staged, tried !== undefined)
  await tellWaitingClaim(deps, clone, 'Normal', 'Downloading', 'its data is being restored')
  const status: StatusChangeOf<'CloneFromSnapshot'> = {
    phase: 'InProgress',
    downloadName,
    message: 'the backup is being written to a staged disk',
    reason: 'Downloading',
  }
  return { outcome: { status, step: 'waiting' }, why: `started ${downloadName}` }
}

export function storedClaim(clone: CloneFromSnapshot): PersistentVolumeClaim {
  const metadata = clone.spec.metadata
  if (typeof metadata !== 'string' || metadata === '')
    throw new TerminalError('MetadataInvalid', 'spec.metadata is empty: it must hold the claim that was backed up')
  return decodeClaimMetadata(metadata)
}
