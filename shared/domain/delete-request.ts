// The DeleteSnapshot for the data of a Snapshot: one per Snapshot, whoever asks for it.

import { KINDS, type KubeObject } from '#shared/api/kinds.ts'
import { ON_BEHALF_OF_ANNOTATION } from './authority.ts'
import { BACKUP_NAME_LABEL, EXCLUDE_LABEL, requireUid } from './velero.ts'

export type DeleteRequest = {
  snapshotUid: string
  snapshotID: string
  backupRepository: string
  veleroNamespace: string
  /** Of the claim that was backed up. The id comes from a Snapshot's status, so the deletion has the rights of that namespace only. */
  namespace: string
  backupLabel: string
}

/** A deletion that is asked for again finds the first. TerminalError `VeleroObjectInvalid`: it is no UID. */
export function deleteName(snapshotUid: unknown): string {
  return `delete-${requireUid(snapshotUid, 'the stored Snapshot')}`
}

export function deleteSnapshotOf(request: DeleteRequest): KubeObject {
  const { snapshotUid, snapshotID, backupRepository, veleroNamespace, namespace, backupLabel } = request
  return {
    apiVersion: KINDS.DeleteSnapshot.apiVersion,
    kind: 'DeleteSnapshot',
    metadata: {
      name: deleteName(snapshotUid),
      namespace: veleroNamespace,
      labels: { [EXCLUDE_LABEL]: 'true', [BACKUP_NAME_LABEL]: backupLabel },
      annotations: { [ON_BEHALF_OF_ANNOTATION]: namespace },
    },
    spec: { snapshotID, backupRepository },
  }
}

/** False: its name was made for another backup, or it acts for another namespace. */
export function isDeleteOf(object: KubeObject, wanted: KubeObject): boolean {
  const isSame = object['spec']?.snapshotID === wanted['spec'].snapshotID
  return isSame && (isWithoutActor(object) || actsFor(object) === actsFor(wanted))
}

/** An earlier release made it, with the rights of an operator: it gets the annotation before anybody counts on it. */
export function isWithoutActor(object: KubeObject): boolean {
  return actsFor(object) === undefined
}

function actsFor({ metadata }: KubeObject): string | undefined {
  return metadata.annotations?.[ON_BEHALF_OF_ANNOTATION]
}
