// Generated from config/crd/downloads.yaml by `make generate`. Do not edit.

import type { Condition, ObjectMeta } from '../kinds.ts'

/**
 * Moves the data of one backup from the repository into a disk. Its name is download-<id of the disk's snapshot>-<id>. It has no status subresource. A slice begins with one write of phase and label, and ends with two: its status, while it holds the Lease, and then the label.
 */
export type Download = {
  apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1'
  kind: 'Download'
  metadata: ObjectMeta
  /**
   * What to move, and where to. Written by the clone function; only downloadCancel may change afterwards.
   */
  spec: {
    /**
     * The backup, as ivd:<First Class Disk id>:<snapshot id> of the disk that was backed up.
     */
    snapshotID?: string
    /**
     * When the restore was asked for (RFC 3339).
     */
    restoreTimestamp?: string
    /**
     * The disk that is written, as ivd:<First Class Disk id>.
     */
    protectedEntityID?: string
    /**
     * Asks to stop the download; it ends Failed with reason Canceled. Written by the clone function when its CloneFromSnapshot is cancelled. Once true it stays true.
     */
    downloadCancel?: boolean
    /**
     * Name of the BackupRepository that holds the backup. An Upload calls the same thing backupRepository.
     */
    backupRepositoryName?: string
    /**
     * The CloneFromSnapshot that asked for this, as <namespace>/<name>.
     */
    clonefromSnapshotReference?: string
  }
  /**
   * How far the download is. Written by the download function.
   */
  status?: {
    /**
     * Where the download stands. New: not begun. InProgress: data is on its way, also between two slices. Completed: every byte was authenticated, written and flushed. Retry: the last attempt failed and another follows at nextRetryTimestamp. Failed: no attempt follows.
     */
    phase?: 'New' | 'InProgress' | 'Completed' | 'Retry' | 'Failed'
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
       * Bytes of data in the backup that have to be written.
       */
      totalBytes?: number
      /**
       * Bytes of them that are written.
       */
      bytesDone?: number
      /**
       * Bytes received from the object store.
       */
      bytesReceived?: number
      /**
       * Bytes written to the disk.
       */
      bytesWritten?: number
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
     * Node on which the download function last worked on this object. Written by it at the start of each slice.
     */
    processingNode?: string
    /**
     * Failed attempts in a row; a slice that gets on ends the row. Written by the download function.
     */
    retryCount?: number
    /**
     * Not before this time is the next attempt made (RFC 3339).
     */
    nextRetryTimestamp?: string | null
    /**
     * The disk that was written, as ivd:<First Class Disk id>. Written when the phase becomes Completed.
     */
    volumeID?: string
    /**
     * Slices begun so far. A transfer runs in slices of a few minutes; each goes on where the one before it ended. Written by the download function.
     */
    slice?: number
    /**
     * Key of the backup's root in the repository.
     */
    root?: string
    /**
     * Chunks of the backup below this one are written and flushed; the next slice begins here.
     */
    nextChunk?: number
    /**
     * True once another root than the present one was written to the disk: zeros are written, too. Written by the download function.
     */
    holdsOtherData?: boolean
    /**
     * What is known of this object beside its phase, one entry for each type. Written by Dormouse; the peer has none.
     */
    conditions?: Condition[]
  }
}

/** Every phase that the API server accepts. */
export const DOWNLOAD_PHASES = [
  'New',
  'InProgress',
  'Completed',
  'Retry',
  'Failed',
] as const

export type DownloadPhase = (typeof DOWNLOAD_PHASES)[number]
