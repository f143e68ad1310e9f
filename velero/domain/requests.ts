// The complete objects that the actions create for the functions.

import { KINDS } from '#shared/api/kinds.ts'
import type {
  Backup,
  BackupRepositoryClaim,
  CloneFromSnapshot,
  PersistentVolumeClaim,
  Restore,
  Snapshot,
} from '#shared/api/types.ts'
import { RESTORED_VOLUME_ANNOTATION } from '#shared/domain/restored-volume.ts'
import { type StoreRules, type StoreSpec, specOfRepository } from '#shared/domain/store-rules.ts'
import { markOperation } from '#shared/domain/velero.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import {
  BACKUP_ANNOTATION,
  BACKUP_NAME_LABEL,
  BACKUP_UID_LABEL,
  cloneName,
  DEADLINE_ANNOTATION,
  EXCLUDE_LABEL,
  RESTORE_ANNOTATION,
  RESTORE_NAME_LABEL,
  RESTORE_UID_LABEL,
  restoredVolumeName,
  snapshotName,
} from './names.ts'
import { operationDeadlineMs } from './times.ts'

type SnapshotRequest = {
  claim: PersistentVolumeClaim
  backup: Backup
  /** Empty: local mode, the disk snapshot is the backup. */
  backupRepository: string
  /** The Backup's name as Velero writes it into labels. */
  backupLabel: string
  nowMs: number
}

export function snapshotOf({ claim, backup, backupRepository, backupLabel, nowMs }: SnapshotRequest): Snapshot {
  return {
    apiVersion: KINDS.Snapshot.apiVersion,
    kind: 'Snapshot',
    metadata: {
      name: snapshotName(backup.metadata.uid, claim.metadata.uid),
      namespace: claim.metadata.namespace ?? '',
      labels: {
        [EXCLUDE_LABEL]: 'true',
        [BACKUP_NAME_LABEL]: backupLabel,
        [BACKUP_UID_LABEL]: backup.metadata.uid ?? '',
      },
      annotations: {
        [BACKUP_ANNOTATION]: backup.metadata.name,
        ...markOperation('requested'),
        [DEADLINE_ANNOTATION]: rfc3339(operationDeadlineMs(backup, nowMs)),
      },
    },
    spec: {
      resourceHandle: { apiGroup: '', kind: 'PersistentVolumeClaim', name: claim.metadata.name },
      backupRepository,
    },
  }
}

/** True: it was made for this Backup and this claim, and not created under that name by another actor. */
export function isSnapshotOf(snapshot: Snapshot, claim: PersistentVolumeClaim, backup: Backup): boolean {
  return isOfBackup(snapshot, backup) && snapshot.spec?.resourceHandle?.name === claim.metadata.name
}

export function isOfBackup(snapshot: Snapshot, backup: Backup): boolean {
  return backup.metadata.uid !== undefined && snapshot.metadata.labels?.[BACKUP_UID_LABEL] === backup.metadata.uid
}

type CloneRequest = {
  restore: Restore
  /** UID of the claim in the backup. */
  claimUid: string | undefined
  namespace: string
  snapshotID: string
  /** The stored claim, with the changes that the restore needs. */
  metadata: string
  backupRepository: string
  restoreLabel: string
  nowMs: number
}

export function cloneOf(request: CloneRequest): CloneFromSnapshot {
  const { restore, claimUid, namespace, snapshotID, metadata, backupRepository, restoreLabel } = request
  return {
    apiVersion: KINDS.CloneFromSnapshot.apiVersion,
    kind: 'CloneFromSnapshot',
    metadata: {
      name: cloneName(restore.metadata.uid, claimUid),
      namespace,
      labels: {
        [EXCLUDE_LABEL]: 'true',
        [RESTORE_NAME_LABEL]: restoreLabel,
        [RESTORE_UID_LABEL]: restore.metadata.uid ?? '',
      },
      annotations: {
        [RESTORE_ANNOTATION]: restore.metadata.name,
        ...markOperation('requested'),
        [RESTORED_VOLUME_ANNOTATION]: restoredVolumeName(restore.metadata.uid, claimUid),
        [DEADLINE_ANNOTATION]: rfc3339(operationDeadlineMs(restore, request.nowMs)),
      },
    },
    spec: { snapshotID, metadata, apiGroup: '', kind: 'PersistentVolumeClaim', backupRepository, cloneCancel: false },
  }
}

export function isOfRestore(clone: CloneFromSnapshot, restore: Restore): boolean {
  return restore.metadata.uid !== undefined && clone.metadata.labels?.[RESTORE_UID_LABEL] === restore.metadata.uid
}

type RepositoryRequest = { name: string; veleroNamespace: string; namespace: string; spec: StoreSpec }

export function repositoryClaimOf({
  name,
  veleroNamespace,
  namespace,
  spec,
}: RepositoryRequest): BackupRepositoryClaim {
  return {
    apiVersion: KINDS.BackupRepositoryClaim.apiVersion,
    kind: 'BackupRepositoryClaim',
    metadata: { name, namespace: veleroNamespace, labels: { [EXCLUDE_LABEL]: 'true' } },
    allowedNamespaces: [namespace],
    repositoryDriver: spec.driver,
    repopsitoryParameters: spec.parameters,
  }
}

/** The Velero Plugin for vSphere's rule: driver, parameters and namespaces are equal, no matter who made the claim. */
export function claimsSameRepository(claim: BackupRepositoryClaim, spec: StoreSpec, namespace: string): boolean {
  return isClaimFor(claim, spec, namespace) && sortedText(claim.repopsitoryParameters) === sortedText(spec.parameters)
}

/** The claim was made when the location had other settings, or another name, but refers to the same place. */
export function claimsSamePlace(
  stores: StoreRules,
  claim: BackupRepositoryClaim,
  spec: StoreSpec,
  namespace: string,
): boolean {
  if (!isClaimFor(claim, spec, namespace)) return false
  try {
    return stores.placeOf(specOfRepository(claim)) === stores.placeOf(spec)
  } catch (error) {
    // Any user may have written it: a claim that cannot be read does not match.
    if (error instanceof DormouseError) return false
    throw error
  }
}

function isClaimFor(claim: BackupRepositoryClaim, { driver }: StoreSpec, namespace: string): boolean {
  const allowed: unknown = claim.allowedNamespaces
  return (
    claim.metadata.deletionTimestamp === undefined &&
    claim.repositoryDriver === driver &&
    Array.isArray(allowed) &&
    allowed.length === 1 &&
    allowed[0] === namespace
  )
}

export function sortedText(map: unknown): string {
  return JSON.stringify(Object.entries((map ?? {}) as Record<string, string>).sort(([a], [b]) => (a < b ? -1 : 1)))
}
