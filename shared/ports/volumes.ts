// Dormouse's interface to vSphere: First Class Disks (FCD), their snapshots, and the areas that changed between two snapshots.

import type { Extent } from './disk.ts'

export type VolumeFacts = {
  fcdId: string
  name: string
  capacityBytes: number
  /** Bare managed object id, such as `datastore-59`. */
  datastoreMoref: string
  changedBlockTracking: boolean
  /** Host name of the vCenter that manages the disk. */
  vcenter: string
}

export type FcdSnapshot = { snapshotId: string; description: string; createdMs: number }

/** Names a running vCenter task so that another process can continue to poll it. */
export type TaskRef = { vcenter: string; task: string }

export type TaskState =
  | { state: 'running'; percent: number | undefined }
  /** `result`: the id that the task created, if it creates one. */
  | { state: 'done'; result: string | undefined }

/** How VDDK reaches a disk. Holds a password: keep it in memory only, never log or store it. */
export type DiskAccess = {
  server: string
  port: number
  /** SHA-1 of the vCenter's certificate, `AA:BB:…`, as VDDK requires; taken from a verified connection. */
  thumbprintSha1: string
  user: string
  password: string
  datastoreMoref: string
}

/**
 * Faults: vCenter busy or away, expired logins, conflicting tasks: RetryableError. An FCD or snapshot that does
 * not exist: `undefined` where the signature says so, else TerminalError with reason `VolumeNotFound` or
 * `SnapshotNotFound`. A task that ended in a fault: pollTask throws the mapped error.
 */
export interface VolumeService {
  describe(fcdId: string): Promise<VolumeFacts | undefined>
  listSnapshots(fcdId: string): Promise<FcdSnapshot[]>
  /** `description` is the intent's name (`dormouse/<cluster id>/<object UID>`): look for it in listSnapshots first. */
  startSnapshot(fcdId: string, description: string): Promise<TaskRef>
  pollTask(task: TaskRef): Promise<TaskState>
  /** The change id to store with the backup; undefined when changed block tracking is off. */
  changeId(fcdId: string, snapshotId: string): Promise<string | undefined>
  /**
   * Areas that changed since `changeId` was taken, ascending. TerminalError `ChangeTrackingLost`: the caller must read
   * all allocated areas instead (tracking off, epoch gone, corrupt, other UUID).
   */
  changedAreas(fcdId: string, snapshotId: string, changeId: string, capacityBytes: number): Promise<Extent[]>
  /** undefined: the snapshot was already gone. */
  startDeleteSnapshot(fcdId: string, snapshotId: string): Promise<TaskRef | undefined>
  diskAccess(fcdId: string): Promise<DiskAccess>
  /** Logs every session out. */
  close(): Promise<void>
}
