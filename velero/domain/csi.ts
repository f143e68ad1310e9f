// Marks that Velero's own CSI actions (server flag `--features=EnableCSI`) left on a claim before Dormouse's action is called: Velero
// registers its own actions first (1.18.3: pkg/plugin/clientmgmt/process/registry.go, pkg/backup/actions/csi/pvc_action.go).

import type { KubeObject } from '#shared/api/kinds.ts'
import { isObjectName, type NamespacedName, parseNamespacedName } from '#shared/api/names.ts'
import type { Backup, DataUpload, PersistentVolumeClaim } from '#shared/api/types.ts'

/** Label and annotation with the name of the VolumeSnapshot from which a restore would fill the claim. */
const SNAPSHOT_NAME = 'velero.io/volume-snapshot-name'
/** `<namespace>/<name>`; only with `snapshotMoveData`. */
const UPLOAD_NAME = 'velero.io/data-upload-name'
const BACKUP_NAME = 'velero.io/backup-name'

export type CsiMarks = {
  volumeSnapshot: string
  /** undefined: the data stays where the disk is. */
  dataUpload: NamespacedName | undefined
}

/** undefined: the claim has no marks of this Backup. Marks of other Backups were left on the claim by an earlier restore. */
export function csiMarks({ metadata }: KubeObject, backup: Backup): CsiMarks | undefined {
  const volumeSnapshot = metadata.annotations?.[SNAPSHOT_NAME]
  // The unshortened name: Velero does not shorten it here.
  if (!isObjectName(volumeSnapshot) || metadata.labels?.[BACKUP_NAME] !== backup.metadata.name) return undefined
  return { volumeSnapshot, dataUpload: parseNamespacedName(metadata.annotations?.[UPLOAD_NAME]) }
}

/** Label and annotation may be of an earlier Backup of the same name: only the DataUpload itself proves that the data goes to the bucket. */
export function isDataUploadOf(dataUpload: DataUpload, claim: PersistentVolumeClaim, backup: Backup): boolean {
  const { sourceNamespace, sourcePVC } = dataUpload.spec ?? {}
  const isOfClaim = sourceNamespace === claim.metadata.namespace && sourcePVC === claim.metadata.name
  return isOfClaim && (dataUpload.metadata.ownerReferences ?? []).some(({ uid }) => uid === backup.metadata.uid)
}

/** The form stored with our blob: with the marks a restore would fill the claim twice, or from the snapshot of another backup. */
export function withoutCsiMarks({ metadata, ...claim }: PersistentVolumeClaim): PersistentVolumeClaim {
  const { annotations, labels, ...rest } = metadata
  const kept = { annotations: without(annotations), labels: without(labels) }
  const given = Object.entries(kept).filter(([, entries]) => entries !== undefined)
  return { ...claim, metadata: { ...rest, ...Object.fromEntries(given) } } as PersistentVolumeClaim
}

function without(entries: Record<string, string> | undefined): Record<string, string> | undefined {
  if (entries === undefined) return undefined
  return Object.fromEntries(Object.entries(entries).filter(([key]) => key !== SNAPSHOT_NAME && key !== UPLOAD_NAME))
}
