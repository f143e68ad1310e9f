// The interface of a Velero plugin without its wire format: the kinds of action that Dormouse registers
// (velero pkg/plugin/velero: backupitemaction/v2, restoreitemaction/v2, delete_item_action).

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Backup, Restore } from '#shared/api/types.ts'

export type { Backup, Restore }

/**
 * Which items an action is called for; empty lists mean all. Resources are spelled as in Velero: `persistentvolumeclaims`,
 * `apps/deployments`.
 */
export type ResourceSelector = {
  includedNamespaces: string[]
  excludedNamespaces: string[]
  includedResources: string[]
  excludedResources: string[]
  /** A Kubernetes label selector; empty: any. */
  selector: string
}

export type ResourceIdentifier = { group: string; resource: string; namespace: string; name: string }

/** Progress of an asynchronous operation. Velero counts it as started once `startedMs` is set, and as over once it is `completed`. */
export type OperationProgress = {
  completed: boolean
  /** With `completed`: the operation failed, and this text is shown to the user. */
  error: string
  nCompleted: number
  nTotal: number
  operationUnits: string
  description: string
  /** Epoch milliseconds; undefined: not yet. */
  startedMs: number | undefined
  updatedMs: number | undefined
}

export type BackupExecuted = {
  /** As Velero has read it: JSON, of which only the kind has been checked. */
  item: KubeObject
  /** Backed up now as well. */
  additionalItems: ResourceIdentifier[]
  /** Empty: there is no asynchronous operation. */
  operationId: string
  /** Read again and written into the backup once the operation is over. */
  postOperationItems: ResourceIdentifier[]
}

export type BackupItemAction = {
  kind: 'BackupItemActionV2'
  /** `<dns-subdomain>/<name>`, as registered. */
  name: string
  /** Called when a run begins; the action does not read its configuration before. */
  appliesTo: () => Promise<ResourceSelector>
  execute: (item: KubeObject, backup: Backup, log: ActionLog) => Promise<BackupExecuted>
  progress: (operationId: string, backup: Backup, log: ActionLog) => Promise<OperationProgress>
  cancel: (operationId: string, backup: Backup, log: ActionLog) => Promise<void>
}

export type RestoreExecuted = {
  item: KubeObject
  additionalItems: ResourceIdentifier[]
  skipRestore: boolean
  operationId: string
}

export type RestoreItemAction = {
  kind: 'RestoreItemActionV2'
  name: string
  appliesTo: () => Promise<ResourceSelector>
  /** `item` still has the namespace of the backup; `itemFromBackup` is the item in the tarball. */
  execute: (item: KubeObject, itemFromBackup: KubeObject, restore: Restore, log: ActionLog) => Promise<RestoreExecuted>
  progress: (operationId: string, restore: Restore, log: ActionLog) => Promise<OperationProgress>
  cancel: (operationId: string, restore: Restore, log: ActionLog) => Promise<void>
}

export type DeleteItemAction = {
  kind: 'DeleteItemAction'
  name: string
  appliesTo: () => Promise<ResourceSelector>
  execute: (item: KubeObject, backup: Backup, log: ActionLog) => Promise<void>
}

/** Takes no snapshots: Velero skips volumes of a VolumeSnapshotLocation with its name. It refuses the snapshots that older backups name. */
export type OldSnapshotter = {
  kind: 'VolumeSnapshotter'
  name: string
  /** The reason why `snapshotId` is not restored, or not deleted. */
  refuse: (what: 'restored' | 'deleted', snapshotId: string) => Error
}

export type ItemAction = BackupItemAction | RestoreItemAction | DeleteItemAction | OldSnapshotter

/** Lines that Velero puts into its own log, and during a run into the log of the Backup or Restore. */
export type ActionLog = {
  info: (message: string, fields?: Record<string, string>) => void
  warn: (message: string, fields?: Record<string, string>) => void
}
