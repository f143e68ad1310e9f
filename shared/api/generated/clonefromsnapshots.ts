// Generated from config/crd/clonefromsnapshots.yaml by `make generate`. Do not edit.

import type { Condition, ObjectMeta } from '../kinds.ts'

/**
 * Asks for a new volume, and a claim that is bound to it, from a backup. The claim is made in the namespace of this object and becomes Bound only after all data is written.
 */
export type CloneFromSnapshot = {
  apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1'
  kind: 'CloneFromSnapshot'
  metadata: ObjectMeta
  /**
   * What to restore. Written by whoever asks for the restore; only cloneCancel may change afterwards.
   */
  spec: {
    /**
     * The backup to restore: the status.snapshotID of its Snapshot, such as pvc:<namespace>/<claim>:<base64, without padding, of ivd:<disk>:<snapshot>>.
     */
    snapshotID: string
    /**
     * The claim to make: the status.metadata of the Snapshot, changed where the restore wants it (namespace, storage class). core/v1 protobuf without envelope, base64.
     */
    metadata?: string
    /**
     * API group of the object to make; empty for the core group.
     */
    apiGroup: string
    /**
     * Kind of the object to make; PersistentVolumeClaim is the only one in use.
     */
    kind: string
    /**
     * Name of the BackupRepository that holds the backup. Empty for a backup made in local mode.
     */
    backupRepository: string
    /**
     * Asks to stop the restore. Once true it stays true.
     */
    cloneCancel: boolean
  }
  /**
   * How far the restore is. Written by the clone function, and by the download function while data moves.
   */
  status?: {
    /**
     * Where the restore stands. New or empty: not looked at yet. InProgress: it is under way. Retry: an attempt failed and another follows. Completed: the claim is bound to the restored volume. Failed: no attempt follows. Canceling, Canceled: stopped because cloneCancel was set.
     */
    phase?: '' | 'New' | 'InProgress' | 'Completed' | 'Retry' | 'Failed' | 'Canceling' | 'Canceled'
    /**
     * What happened last, as a sentence for people. Written by the function that set the phase.
     */
    message?: string
    /**
     * Why the object is in its phase, as a CamelCase word that does not change between versions; docs/operations/reasons.md says what to do about each. Empty while all is well. Written by Dormouse.
     */
    reason?: string
    /**
     * When the clone function first worked on the object (RFC 3339). Written by Dormouse.
     */
    startTimestamp?: string | null
    /**
     * When the phase became final (RFC 3339).
     */
    completionTimestamp?: string | null
    /**
     * How much of the backup's data has been written to the new disk. Copied from the Download at the end of each slice.
     */
    progress?: {
      /**
       * Bytes of data in the backup that have to be written.
       */
      totalBytes?: number
      /**
       * Bytes of them that are written.
       */
      bytesDone?: number
      /**
       * bytesDone in percent of totalBytes, rounded down; 100 only when all of it is done. For printer columns.
       */
      percent?: number
      /**
       * bytesDone and totalBytes for people, such as "1.2 of 10 GiB". For printer columns.
       */
      summary?: string
    }
    /**
     * What was made. Written when the phase becomes Completed.
     */
    resourceHandle?: {
      /**
       * API group of the kind; empty for the core group.
       */
      apiGroup?: string
      /**
       * Kind of the object; PersistentVolumeClaim is the only one in use.
       */
      kind: string
      /**
       * The new disk as ivd:<First Class Disk id>, as the Velero Plugin for vSphere writes it (beside kind PersistentVolumeClaim).
       */
      name: string
    }
    /**
     * Name of the claim that holds the new volume while data is written; no Pod uses it. It stands in the Velero namespace when Velero's own claim waits, else here. Written by the clone function.
     */
    stagingClaim?: string
    /**
     * Name of the new PersistentVolume, for people. Written by the clone function, and never read.
     */
    volumeName?: string
    /**
     * The new disk, as ivd:<First Class Disk id>, for people. Written by the clone function, and never read.
     */
    volumeID?: string
    /**
     * Name of the Download in the Velero namespace. Written by the clone function.
     */
    downloadName?: string
    /**
     * Reclaim policy that the new PersistentVolume gets when it is handed over to its claim; during the hand-over it is Retain. For people: written by the clone function, and never read.
     */
    reclaimPolicy?: 'Delete' | 'Retain' | 'Recycle'
    /**
     * Not in use: the Download's annotation dormouse.dev/hand-over says it, which nobody but operators can write.
     */
    restoredVolume?: string
    /**
     * The vSphere task that this object waits for. It runs on between two calls of the function, which finds it again by this. Absent while there is none. Written by the clone function.
     */
    task?: {
      /**
       * Host name or address of the vCenter that runs the task.
       */
      vcenter: string
      /**
       * The task's managed object id, such as task-1021.
       */
      task: string
    }
    /**
     * The metadata.generation that the status was computed from. Written by Dormouse.
     */
    observedGeneration?: number
    /**
     * What is known of this object beside its phase, one entry for each type. Written by Dormouse; the peer has none.
     */
    conditions?: Condition[]
  }
}

/** Every phase that the API server accepts, beside '' where nobody has written the status yet. */
export const CLONE_FROM_SNAPSHOT_PHASES = [
  'New',
  'InProgress',
  'Completed',
  'Retry',
  'Failed',
  'Canceling',
  'Canceled',
] as const

export type CloneFromSnapshotPhase = (typeof CLONE_FROM_SNAPSHOT_PHASES)[number]
