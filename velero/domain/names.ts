// Names that Velero, users of the Velero Plugin for vSphere and the functions know: labels, annotations, ConfigMaps, and names of a
// backup's objects.

import { isNamespaceName, isObjectName } from '#shared/api/names.ts'
import { cloneNamePrefix, requireUid } from '#shared/domain/velero.ts'

/** The functions read these, too. */
export {
  BACKUP_ANNOTATION,
  BACKUP_NAME_LABEL,
  BACKUP_UID_LABEL,
  DEADLINE_ANNOTATION,
  EXCLUDE_LABEL,
  RESTORE_ANNOTATION,
  RESTORE_UID_LABEL,
} from '#shared/domain/velero.ts'

/**
 * The Velero Plugin for vSphere's names, except for those on PVs and on items. Velero (pkg/backup, item_backupper) applies volume policies of
 * the kind `skip` to the first one only. With another prefix than `velero.io` the names are unique to this plugin.
 */
export function actionNames(prefix = 'velero.io') {
  return {
    backupper: `${prefix}/vsphere-pvc-backupper`,
    deleter: `${prefix}/vsphere-pvc-deleter`,
    restorer: `${prefix}/vsphere-pvc-restorer`,
    volumeRestorer: `${prefix}/vsphere-pv-restorer`,
    itemRestorer: `${prefix}/vsphere-item-restorer`,
    snapshotter: `${prefix}/vsphere`,
  }
}
export const ACTION_NAMES = actionNames()

/** A label of Velero's, like those above. */
export const RESTORE_NAME_LABEL = 'velero.io/restore-name'

/** On an item that a BackupItemAction returns: the item is left out of the backup (Velero 1.18.1 and newer; older versions keep it). */
export const SKIP_FROM_BACKUP_ANNOTATION = 'velero.io/skip-from-backup'
/** On a Backup: how long one item may hold it up; Velero's default is 10 minutes. */
export const RESOURCE_TIMEOUT_ANNOTATION = 'velero.io/resource-timeout'

/** On the claim inside of a backup, never on the live claim. Names and form are the Velero Plugin for vSphere's. */
export const BLOB_ANNOTATION = 'velero-plugin-for-vsphere/item-snapshot-blob'
export const VERSION_ANNOTATION = 'velero-plugin-for-vsphere/plugin-version'

/** On a PV inside of a backup: `<namespace>/<name>` of the Snapshot that holds its data. A restore must not restore that PV. */
export const TAKEN_ANNOTATION = 'dormouse.dev/snapshot'

/** ConfigMaps in Velero's namespace. All are the Velero Plugin for vSphere's; `blocked-resources` is a key of Dormouse in the first. */
export const CONFIG_MAP = 'velero-vsphere-plugin-config'
export const FEATURES_MAP = 'velero-vsphere-plugin-feature-states'
export const BLOCKED_MAP = 'velero-vsphere-plugin-blocked-resources-list'
export const BLOCKED_MODE_KEY = 'blocked-resources'

/** One per Backup and claim, so that a second caller finds the Snapshot that the first has made. */
export function snapshotName(backupUid: unknown, claimUid: unknown): string {
  return `snap-${requireUid(backupUid, 'the Backup')}-${requireUid(claimUid, 'the claim')}`
}

/** One per Restore and stored claim; the PV of that name does not exist before its data is complete. */
export function cloneName(restoreUid: unknown, claimUid: unknown): string {
  return `${cloneNamePrefix(restoreUid)}${requireUid(claimUid, 'the stored claim')}`
}

export function restoredVolumeName(restoreUid: unknown, claimUid: unknown): string {
  return `dormouse-${requireUid(restoreUid, 'the Restore')}-${requireUid(claimUid, 'the stored claim')}`
}

/** The BackupRepository of a claim, by the rule of the repository function: its name is known before it exists. */
export function repositoryName(claimUid: unknown): string {
  return `br-${requireUid(claimUid, 'the BackupRepositoryClaim')}`
}

type ObjectPlace = { namespace: string; name: string }

export function formatOperationId({ namespace, name }: ObjectPlace): string {
  return `${namespace}/${name}`
}

/** undefined: it was not made by `formatOperationId`. The id comes from Velero's store, so it is not trusted. */
export function parseOperationId(operationId: string): ObjectPlace | undefined {
  const [namespace, name, ...rest] = operationId.split('/')
  return rest.length === 0 && isNamespaceName(namespace) && isObjectName(name) ? { namespace, name } : undefined
}
