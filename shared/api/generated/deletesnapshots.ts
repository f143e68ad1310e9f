// Generated from config/crd/deletesnapshots.yaml by `make generate`. Do not edit.

import type { Condition, ObjectMeta } from '../kinds.ts'

/**
 * Asks to delete a backup: to stop its upload if it still runs, and to remove its local snapshot and its data in the repository.
 */
export type DeleteSnapshot = {
  apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1'
  kind: 'DeleteSnapshot'
  metadata: ObjectMeta
  /**
   * What to delete. Written by whoever asks for it, and never changed.
   */
  spec: {
    /**
     * The backup to delete: the status.snapshotID of its Snapshot, such as pvc:<namespace>/<claim>:<base64, without padding, of ivd:<disk>:<snapshot>>.
     */
    snapshotID: string
    /**
     * Name of the BackupRepository that holds the backup. Empty for a backup made in local mode.
     */
    backupRepository: string
  }
  /**
   * How far the deletion is. Written by the delete function.
   */
  status?: {
    /**
     * Where the deletion stands. New or empty: not looked at yet. InProgress: it is under way. Completed: nothing of the backup is left that a restore could use. Failed: something is left, and the message says what.
     */
    phase?: '' | 'New' | 'InProgress' | 'Completed' | 'Failed'
    /**
     * What happened last, as a sentence for people. Written by the function that set the phase.
     */
    message?: string
    /**
     * Why the object is in its phase, as a CamelCase word that does not change between versions; docs/operations/reasons.md says what to do about each. Empty while all is well. Written by Dormouse.
     */
    reason?: string
    /**
     * When the delete function first worked on the object (RFC 3339). Written by Dormouse.
     */
    startTimestamp?: string | null
    /**
     * When the phase became final (RFC 3339).
     */
    completionTimestamp?: string | null
    /**
     * The vSphere task that this object waits for. It runs on between two calls of the function, which finds it again by this. Absent while there is none. Written by the delete function.
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
export const DELETE_SNAPSHOT_PHASES = [
  'New',
  'InProgress',
  'Completed',
  'Failed',
] as const

export type DeleteSnapshotPhase = (typeof DELETE_SNAPSHOT_PHASES)[number]
