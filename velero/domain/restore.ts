// What a restore does with a stored claim: fill it with its data, leave it to Velero, or fail; and the claim's new form.

import { isNamespaceName, isObjectName } from '#shared/api/names.ts'
import type { CloneFromSnapshot, ConfigMap, PersistentVolumeClaim, Restore } from '#shared/api/types.ts'
import { clip } from '#shared/domain/conditions.ts'
import { CLONE_ANNOTATION, CLONE_LABEL, cloneReference } from '#shared/domain/staging.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { isBlobOf, type StoredSnapshot, withoutBlob } from './blob.ts'

export type RestoreSeen = {
  stored: StoredSnapshot | undefined
  restore: Restore
  /** The Backup's name as labels hold it. */
  backupLabel: string
  /** A claim with the name of the restored one exists. */
  targetExists: boolean
}

export type RestoreDecision =
  | { kind: 'restore'; stored: StoredSnapshot; snapshotID: string; metadata: string }
  /** Velero makes the claim, empty or filled by other means. */
  | { kind: 'leave'; level: 'info' | 'warn'; reason: string; message: string }
  /** The claim exists already: it is not changed. */
  | { kind: 'beside'; reason: string; message: string }
  | { kind: 'fail'; reason: string; message: string }

/** Phases of a backup that cannot be restored. A backup that was still in progress when it was stored is tried. */
const FAILED_PHASES = ['SnapshotFailed', 'Canceled', 'UploadFailedAfterRetry']

export function decideRestore({ stored, restore, backupLabel, targetExists }: RestoreSeen): RestoreDecision {
  if (stored === undefined) {
    return { kind: 'leave', level: 'info', reason: 'NoSnapshotStored', message: 'the backup holds no snapshot of it' }
  }
  if (!isBlobOf(stored, backupLabel)) {
    const message = `its annotation names Snapshot ${stored.namespace}/${stored.name} of another backup`
    return { kind: 'leave', level: 'warn', reason: 'NoSnapshotStored', message }
  }
  if (restore.spec?.restorePVs === false) {
    return { kind: 'leave', level: 'info', reason: 'VolumesNotRestored', message: 'the Restore says restorePVs: false' }
  }
  if (targetExists) return { kind: 'beside', reason: 'TargetExists', message: 'it exists, and is never overwritten' }
  const { snapshotID, metadata } = stored
  if (FAILED_PHASES.includes(stored.phase) || snapshotID === undefined || metadata === undefined) {
    return { kind: 'fail', reason: 'BackupIncomplete', message: incomplete(stored) }
  }
  return { kind: 'restore', stored, snapshotID, metadata }
}

function incomplete({ namespace, name, phase, reason, message }: StoredSnapshot): string {
  const said = [reason, message].filter((part) => part !== '').join(': ')
  // The text was chosen by a user who may write the Snapshot's status, or write to the bucket.
  return clip(
    `Snapshot ${namespace}/${name} was ${phase || 'New'} when the backup ended${said === '' ? '' : `: ${said}`}`,
  )
}

/** Velero passes the item with the namespace of the backup. */
export function targetNamespace(restore: Restore, namespace: string): string {
  const mapping: Record<string, unknown> = restore.spec?.namespaceMapping ?? {}
  const mapped = Object.hasOwn(mapping, namespace) ? mapping[namespace] : namespace
  if (isNamespaceName(mapped)) return mapped
  throw new TerminalError('VeleroObjectInvalid', `the namespace of a stored claim, or what it is mapped to, is no name`)
}

/** Labels of the ConfigMap that Velero's own action reads too (change-storage-class). */
export const CLASS_MAP_SELECTOR = 'velero.io/plugin-config,velero.io/change-storage-class=RestoreItemAction'
/** The Velero Plugin for vSphere's key for a claim that names no class. */
const EMPTY_CLASS_KEY = 'com.vmware.cnsdp.emptystorageclass'

/** The class to restore with, by the class in the backup; undefined: no entry, the class is unchanged. */
export function mappedClass(maps: readonly ConfigMap[], className: unknown): string | undefined {
  if (maps.length > 1) {
    const names = maps.map(({ metadata }) => metadata.name).sort()
    const message = `more than one ConfigMap maps storage classes: ${names.join(', ')}: keep one`
    throw new TerminalError('ClassMappingAmbiguous', message)
  }
  const data: Record<string, unknown> = maps[0]?.data ?? {}
  const key = typeof className === 'string' && className !== '' ? className : EMPTY_CLASS_KEY
  const mapped = Object.hasOwn(data, key) ? data[key] : undefined
  if (mapped === undefined || isObjectName(mapped)) return mapped
  throw new TerminalError(
    'StorageClassNotFound',
    `storage class ${key} is mapped to ${JSON.stringify(mapped)}: no name`,
  )
}

/** They describe the old binding and origin: with them the new claim would be Lost, or filled by something else. */
const STALE_ANNOTATIONS = [
  'pv.kubernetes.io/bind-completed',
  'pv.kubernetes.io/bound-by-controller',
  'volume.beta.kubernetes.io/storage-provisioner',
  'volume.kubernetes.io/storage-provisioner',
  'volume.kubernetes.io/selected-node',
]

/** The claim for Velero to create: it stays Pending and waits for a PV that appears only with all of its data. */
export function waitingClaim(
  item: PersistentVolumeClaim,
  { volumeName, className, clone }: { volumeName: string; className: string | undefined; clone: CloneFromSnapshot },
): PersistentVolumeClaim {
  const claim = withoutBlob(item)
  const { selector, dataSource, dataSourceRef, ...spec } = claim.spec ?? {}
  const annotations = Object.fromEntries(
    Object.entries(claim.metadata.annotations ?? {}).filter(([key]) => !STALE_ANNOTATIONS.includes(key)),
  )
  return {
    ...claim,
    metadata: {
      ...claim.metadata,
      // With this label, the claim's creation and binding trigger the clone function.
      labels: { ...claim.metadata.labels, [CLONE_LABEL]: clone.metadata.uid ?? '' },
      annotations: { ...annotations, [CLONE_ANNOTATION]: cloneReference(clone) },
    },
    spec: { ...spec, volumeName, ...(className === undefined ? {} : { storageClassName: className }) },
  }
}
