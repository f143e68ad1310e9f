// What Velero asks of a plugin, without its wire: the kinds of action that Dormouse registers
// (velero pkg/plugin/velero: backupitemaction/v2, restoreitemaction/v2, delete_item_action).

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Backup, Restore } from '#shared/api/types.ts'

export type { Backup, Restore }

/** Which items an action is called for; empty lists mean all. Resources as Velero writes them: `persistentvolumeclaims`, `apps/deployments`. */
export type ResourceSelector = {
  includedNamespaces: string[]
  excludedNamespaces: string[]
  includedResources: string[]
  excludedResources: string[]
  /** A Kubernetes label selector; empty: any. */
  selector: string
}

export type ResourceIdentifier = { group: string; resource: string; namespace: string; name: string }

/** How far an asynchronous operation is. Velero counts it as started once `startedMs` is given, and as over once it is `completed`. */
export type OperationProgress = {
  completed: boolean
  /** With `completed`: the operation failed, and this is what the user reads. */
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
  /** As Velero has read it: JSON, of which nobody has looked at more than the kind. */
  item: KubeObject
  /** Backed up now, too. */
  additionalItems: ResourceIdentifier[]
  /** Empty: nothing goes on in the background. */
  operationId: string
  /** Read again and written into the backup once the operation is over. */
  postOperationItems: ResourceIdentifier[]
}

export type BackupItemAction = {
  kind: 'BackupItemActionV2'
  /** `<dns-subdomain>/<name>`, as registered. */
  name: string
  /** Asked when a run begins: what it depends on is not read before. */
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
  /** `item` still has the namespace of the backup; `itemFromBackup` is what the tarball holds. */
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

/** Takes no snapshots: Velero passes volumes of a VolumeSnapshotLocation with its name by. What older backups name it refuses. */
export type OldSnapshotter = {
  kind: 'VolumeSnapshotter'
  name: string
  /** Why `snapshotId` is not restored, or not deleted. */
  refuse: (what: 'restored' | 'deleted', snapshotId: string) => Error
}

export type ItemAction = BackupItemAction | RestoreItemAction | DeleteItemAction | OldSnapshotter

/** Lines that Velero puts into its own log, and during a run into the log of the Backup or Restore. */
export type ActionLog = {
  info: (message: string, fields?: Record<string, string>) => void
  warn: (message: string, fields?: Record<string, string>) => void
}
