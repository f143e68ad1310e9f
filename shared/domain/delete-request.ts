// The DeleteSnapshot for the data of a Snapshot: one per Snapshot, whoever asks for it.

import { KINDS, type KubeObject } from '#shared/api/kinds.ts'
import { BACKUP_NAME_LABEL, EXCLUDE_LABEL, requireUid } from './velero.ts'

export type DeleteRequest = {
  snapshotUid: string
  snapshotID: string
  backupRepository: string
  veleroNamespace: string
  backupLabel: string
}

/** A deletion that is asked for again finds the first. TerminalError `VeleroObjectInvalid`: it is no UID. */
export function deleteName(snapshotUid: unknown): string {
  return `delete-${requireUid(snapshotUid, 'the stored Snapshot')}`
}

export function deleteSnapshotOf(request: DeleteRequest): KubeObject {
  const { snapshotUid, snapshotID, backupRepository, veleroNamespace, backupLabel } = request
  return {
    apiVersion: KINDS.DeleteSnapshot.apiVersion,
    kind: 'DeleteSnapshot',
    metadata: {
      name: deleteName(snapshotUid),
      namespace: veleroNamespace,
      labels: { [EXCLUDE_LABEL]: 'true', [BACKUP_NAME_LABEL]: backupLabel },
    },
    spec: { snapshotID, backupRepository },
  }
}

/** False: its name was made for another backup. */
export function isDeleteOf(object: KubeObject, snapshotID: string): boolean {
  return object['spec']?.snapshotID === snapshotID
}
