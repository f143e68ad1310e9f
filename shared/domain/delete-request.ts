// The DeleteSnapshot for the data of a Snapshot. There is one per Snapshot, whether the plugin or the sweep requests it.

import { KINDS, type KubeObject } from '#shared/api/kinds.ts'
import type { DeleteSnapshot } from '#shared/api/types.ts'
import { ON_BEHALF_OF_ANNOTATION } from './authority.ts'
import { BACKUP_ANNOTATION, BACKUP_NAME_LABEL, EXCLUDE_LABEL, requireUid } from './velero.ts'

type DeleteRequest = {
  snapshotUid: string
  snapshotID: string
  backupRepository: string
  veleroNamespace: string
  /**
   * The namespace of the claim that was backed up. The id comes from a Snapshot's status, so the deletion has the rights of that namespace
   * only.
   */
  namespace: string
  backupLabel: string
  /** The Backup that Velero deletes: data that another cluster made for it may then be removed too. No other deletion has that right. */
  backup?: string
}

/** A repeated deletion request finds the first one. Throws TerminalError `VeleroObjectInvalid` if the text is not a UID. */
export function deleteName(snapshotUid: unknown): string {
  return `delete-${requireUid(snapshotUid, 'the stored Snapshot')}`
}

export function deleteSnapshotOf(request: DeleteRequest): DeleteSnapshot {
  const { snapshotUid, snapshotID, backupRepository, veleroNamespace, namespace, backupLabel, backup } = request
  return {
    apiVersion: KINDS.DeleteSnapshot.apiVersion,
    kind: 'DeleteSnapshot',
    metadata: {
      name: deleteName(snapshotUid),
      namespace: veleroNamespace,
      labels: { [EXCLUDE_LABEL]: 'true', [BACKUP_NAME_LABEL]: backupLabel },
      annotations: {
        [ON_BEHALF_OF_ANNOTATION]: namespace,
        ...(backup === undefined ? {} : { [BACKUP_ANNOTATION]: backup }),
      },
    },
    spec: { snapshotID, backupRepository },
  }
}

/** False: the object with this name was made for another backup, or acts for another namespace. */
export function isDeleteOf(object: DeleteSnapshot, wanted: DeleteSnapshot): boolean {
  const isSame = object.spec?.snapshotID === wanted.spec.snapshotID
  return isSame && (actsFor(object) === undefined || actsFor(object) === actsFor(wanted))
}

/**
 * The existing object does not have the wanted rights: an earlier release made it with those of an operator, or the sweep made it, which
 * knows no Backup. It gets the annotations before any code relies on them.
 */
export function lacksRights({ metadata }: KubeObject, wanted: KubeObject): boolean {
  return Object.entries(wanted.metadata.annotations ?? {}).some(([key, value]) => metadata.annotations?.[key] !== value)
}

function actsFor({ metadata }: KubeObject): string | undefined {
  return metadata.annotations?.[ON_BEHALF_OF_ANNOTATION]
}
