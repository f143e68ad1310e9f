// Generated from config/crd/uploads.yaml by `make generate`. Do not edit.

import type { Condition, ObjectMeta } from '../kinds.ts'

/**
 * Moves the data of one local snapshot into the repository. Its name is upload-<id of the disk's snapshot>. It has no status subresource. A slice begins with one write of phase and label, and ends with two: its status, while it holds the Lease, and then the label.
 */
export type Upload = {
  apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1'
  kind: 'Upload'
  metadata: ObjectMeta
  /**
   * What to move. Written by the snapshot function; only uploadCancel may change afterwards.
   */
  spec: {
    /**
     * The local snapshot, as ivd:<First Class Disk id>:<snapshot id>.
     */
    snapshotID?: string
    /**
     * When the backup was asked for (RFC 3339).
     */
    backupTimestamp?: string
    /**
     * Asks to stop the upload and to remove what it left. Once true it stays true.
     */
    uploadCancel?: boolean
    /**
     * Name of the BackupRepository that receives the data.
     */
    backupRepository?: string
    /**
     * The Snapshot that asked for this, as <namespace>/<name>.
     */
    snapshotReference?: string
  }
  /**
   * How far the upload is. Written by the upload function.
   */
  status?: {
    /**
     * Where the upload stands. New: not begun. InProgress: data is on its way, also between two slices. Completed: the backup's root is durable and verified. UploadError: the last attempt failed and another follows at nextRetryTimestamp. UploadFailedAfterRetry: no attempt follows. CleanupFailed: the local snapshot could not be removed yet. Canceling, Canceled: stopped because uploadCancel was set.
     */
    phase?:
      | 'New'
      | 'InProgress'
      | 'Completed'
      | 'UploadError'
      | 'CleanupFailed'
      | 'Canceling'
      | 'Canceled'
      | 'UploadFailedAfterRetry'
    /**
     * What happened last, as a sentence for people. Written by the function that set the phase.
     */
    message?: string
    /**
     * Why the object is in its phase, as a CamelCase word that does not change between versions; docs/operations/reasons.md says what to do about each. Empty while all is well. Written by Dormouse.
     */
    reason?: string
    /**
     * When the first slice began (RFC 3339).
     */
    startTimestamp?: string | null
    /**
     * When the phase became final (RFC 3339).
     */
    completionTimestamp?: string | null
    /**
     * How much has been done, over all slices. Written at most every few seconds.
     */
    progress?: {
      /**
       * Bytes that this run has to look at: changed areas, else allocated ones, else the whole disk.
       */
      totalBytes?: number
      /**
       * Bytes of them that have been looked at.
       */
      bytesDone?: number
      /**
       * Bytes read from the disk.
       */
      bytesRead?: number
      /**
       * Bytes sent to the object store, everything included.
       */
      bytesSent?: number
      /**
       * Bytes of new data kept in the repository, after deduplication and compression.
       */
      bytesStored?: number
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
     * Node on which the upload function last worked on this object. Written by it at the start of each slice.
     */
    processingNode?: string
    /**
     * All attempts to move the data are used up; only the local snapshot is still to be removed. Written by the upload function.
     */
    givenUp?: boolean
    /**
     * Failed attempts in a row; a slice that gets on ends the row. Written by the upload function.
     */
    retryCount?: number
    /**
     * Not before this time is the next attempt made (RFC 3339).
     */
    nextRetryTimestamp?: string | null
    /**
     * The wait before the next attempt, in minutes. It doubles with each failure, up to 60.
     */
    currentBackOff?: number
    /**
     * Slices begun so far. A transfer runs in slices of a few minutes; each goes on where the one before it ended. Written by the upload function.
     */
    slice?: number
    /**
     * Id of the session in the repository that collects the data. Recorded before the first object is written.
     */
    session?: string
    /**
     * Key of the backup's root in the repository, which makes the backup exist. Absent until it is durable and verified.
     */
    root?: string
    /**
     * Key of the root of the earlier backup that this one starts from. Absent for a backup without a parent.
     */
    parentRoot?: string
    /**
     * What the run looks at. Changed, the areas that changed since the parent; Allocated, the areas that the disk has allocated; Everything, all of the disk, when neither is known.
     */
    mode?: 'Changed' | 'Allocated' | 'Everything'
    /**
     * Size of the disk in bytes.
     */
    volumeBytes?: number
    /**
     * What is known of this object beside its phase, one entry for each type. Written by Dormouse; the peer has none.
     */
    conditions?: Condition[]
  }
}

/** Every phase that the API server accepts. */
export const UPLOAD_PHASES = [
  'New',
  'InProgress',
  'Completed',
  'UploadError',
  'CleanupFailed',
  'Canceling',
  'Canceled',
  'UploadFailedAfterRetry',
] as const

export type UploadPhase = (typeof UPLOAD_PHASES)[number]
