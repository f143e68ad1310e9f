// Generated from config/crd/snapshots.yaml by `make generate`. Do not edit.

import type { Condition, ObjectMeta } from '../kinds.ts'

/**
 * Asks for a backup of one volume. It need not exist any more when the backup is restored or deleted: status.snapshotID and the repository are enough.
 */
export type Snapshot = {
  apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1'
  kind: 'Snapshot'
  metadata: ObjectMeta
  /**
   * What to back up, and where to. Written by whoever asks for the backup; only snapshotCancel may change afterwards.
   */
  spec: {
    /**
     * The object whose volume is backed up.
     */
    resourceHandle: {
      /**
       * API group of the kind; empty for the core group.
       */
      apiGroup?: string
      /**
       * Kind of the object; PersistentVolumeClaim is the only one in use.
       */
      kind: string
      /**
       * Name of the PersistentVolumeClaim, in the namespace of the Snapshot.
       */
      name: string
    }
    /**
     * Name of the BackupRepository that receives the data. Empty for local mode, which keeps the snapshot in vSphere and uploads nothing.
     */
    backupRepository: string
    /**
     * Asks to stop the backup. Once true it stays true.
     */
    snapshotCancel?: boolean
  }
  /**
   * How far the backup is. Written by the snapshot function, and by the upload function once an Upload exists.
   */
  status?: {
    /**
     * Where the backup stands. New or empty: not looked at yet. InProgress: the local snapshot is being taken. Snapshotted: the local snapshot exists (the end in local mode). SnapshotFailed: it could not be taken. Uploading: data is on its way. Uploaded: the backup is complete and verified in the repository. UploadFailed: the last attempt failed and another follows. UploadFailedAfterRetry: no attempt follows. CleanupAfterUploadFailed: the local snapshot could not be removed yet. Canceling, Canceled: stopped because snapshotCancel, or the Upload's uploadCancel, was set.
     */
    phase?:
      | ''
      | 'New'
      | 'InProgress'
      | 'Snapshotted'
      | 'SnapshotFailed'
      | 'Uploading'
      | 'Uploaded'
      | 'UploadFailed'
      | 'UploadFailedAfterRetry'
      | 'CleanupAfterUploadFailed'
      | 'Canceling'
      | 'Canceled'
    /**
     * What happened last, as a sentence for people. Written by the function that set the phase.
     */
    message?: string
    /**
     * Why the object is in its phase, as a CamelCase word that does not change between versions; docs/operations/reasons.md says what to do about each. Empty while all is well. Written by Dormouse.
     */
    reason?: string
    /**
     * When the snapshot function first worked on the object (RFC 3339). Written by Dormouse.
     */
    startTimestamp?: string | null
    /**
     * When the phase became final (RFC 3339).
     */
    completionTimestamp?: string | null
    /**
     * How much of the volume's data has been moved. Copied from the Upload at the end of each slice.
     */
    progress?: {
      /**
       * Bytes that this backup has to look at (changed or allocated ones, not the disk's size).
       */
      totalBytes?: number
      /**
       * Bytes of them that are done.
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
     * Identifies the backup for restore and delete, such as pvc:<namespace>/<claim>:<base64, without padding, of ivd:<disk>:<snapshot>>.
     */
    snapshotID?: string
    /**
     * Name of the Snapshot in the Supervisor's namespace that does the work for this one. Empty outside of guest clusters.
     */
    svcSnapshotName?: string
    /**
     * The PersistentVolumeClaim as it was at the time of the snapshot: core/v1 protobuf without envelope, base64. The restore makes the new claim from it.
     */
    metadata?: string
    /**
     * Name of the Upload in the Velero namespace. Written by the snapshot function.
     */
    uploadName?: string
    /**
     * The disk that was snapshotted, as ivd:<First Class Disk id>. Written by the snapshot function.
     */
    volumeID?: string
    /**
     * The vSphere task that this object waits for. It runs on between two calls of the function, which finds it again by this. Absent while there is none. Written by the snapshot function.
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
export const SNAPSHOT_PHASES = [
  'New',
  'InProgress',
  'Snapshotted',
  'SnapshotFailed',
  'Uploading',
  'Uploaded',
  'UploadFailed',
  'UploadFailedAfterRetry',
  'CleanupAfterUploadFailed',
  'Canceling',
  'Canceled',
] as const

export type SnapshotPhase = (typeof SNAPSHOT_PHASES)[number]
