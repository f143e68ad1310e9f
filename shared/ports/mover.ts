// The transfer of one slice, as the upload and download functions request it. It runs in a child process (shared/movers/process).

import type { VolumeRecord } from '#shared/domain/volume-record.ts'
import type { Extent } from './disk.ts'
import type { StoreSettings } from './stores.ts'
import type { DiskAccess } from './volumes.ts'

/** Everything needed to open a repository. Holds secrets: memory only. */
export type RepositoryAccess = {
  store: StoreSettings
  /** The user's secret that unwraps a key slot. */
  password: string
  /** The store must hold this very repository, else TerminalError `RepositoryDiffers`. */
  repositoryId?: string
}

export type DiskRef = { access: DiskAccess; fcdId: string; snapshotId: string | undefined }

export type UploadRequest = {
  repository: RepositoryAccess
  disk: DiskRef
  /** Chosen with newSessionId and recorded in the Upload before the first call. */
  session: string
  /** 1, 2, …: higher than any slice before it. */
  slice: number
  /** The transfer stops by itself, checkpointed, after this long. */
  sliceMs: number
  capacityBytes: number
  /**
   * Areas to look at; undefined: ask the disk for its allocated ones. Given only together with `parentRoot`. `not asked`: vCenter could
   * report them, but in hundreds of large answers, and an earlier slice has most likely stored a plan already.
   */
  changedAreas: Extent[] | 'not asked' | undefined
  /** Root key of the backup whose map this one starts from. */
  parentRoot: string | undefined
  /** Both are stored in the sealed root: a restore on another cluster needs them. */
  about: BackupAbout
  source: BlockFacts
}

/** Facts that every backup stores, whatever kind of source it has. */
export type BackupAbout = {
  clusterId: string
  createdMs: number
  /** `<namespace>/<name>` of the PVC. The namespace is the owner of the backup (docs/design/0004-trust.md). */
  claim: string
  /** Name of the Velero Backup that it was made for; a Restore of that Backup may map it into another namespace. */
  backup?: string | undefined
}

/** A block volume as it was when its snapshot was taken. */
export type BlockFacts = {
  diskId: string
  snapshotId: string
  changeId: string | undefined
  /**
   * true: older snapshots of the disk existed when its own was taken, or this could not be determined. A revert to one of them repeats
   * epochs of its change tracking, so that its change id proves nothing later. undefined: this was not checked.
   */
  revertible?: boolean | undefined
  /** The PersistentVolume as it was; undefined: it could not be read, or an earlier release made the backup. */
  volume?: VolumeRecord | undefined
}

/** The part of a root that is specific to a block volume's backup. */
export type BlockSource = Omit<BlockFacts, 'volume'> & {
  capacityBytes: number
  /** Not validated: each reader checks every part (`readRecord`). */
  volume?: object | undefined
}

/** The source and point in time of a backup, by ids that a repository stores only as keyed hashes, in the names of sessions. */
export type SourcePoint = { sourceId: string; snapshotId: string; createdMs: number }

export type UploadProgress = {
  /** Bytes of the volume that this backup has to look at, and those that it has looked at, over all slices. */
  totalBytes: number
  bytesDone: number
  /** Read from the disk, sent to the store, stored as data (packs), over all slices. */
  bytesRead: number
  bytesSent: number
  bytesStored: number
}

export type UploadOutcome =
  /** The areas were `not asked` and no slice has stored a plan: nothing was transferred; send the same request again with the areas. */
  { state: 'unplanned' } | UploadEnd

export type UploadEnd =
  /**
   * The slice's time is over; everything transferred is durable and checkpointed. `bytesBefore`: the part that was so when the slice
   * began.
   */
  | { state: 'more'; progress: UploadProgress; bytesBefore: number }
  /** The root is durable, was read back and verified. */
  | {
      state: 'sealed'
      root: string
      progress: UploadProgress
      mode: 'Changed' | 'Allocated' | 'Everything'
      healed?: Healed
    }

/** Lost packs of earlier backups, and the number of pages whose chunks in them were read from the disk again. */
export type Healed = { packs: number; pages: number }

export type DownloadRequest = {
  repository: RepositoryAccess
  disk: DiskRef
  root: string
  sliceMs: number
  /** Chunks below this number are already written and flushed. */
  nextChunk: number
  /** The new disk is known to read as zeros where it was not written. */
  targetIsZeroed: boolean
}

export type DownloadProgress = { totalBytes: number; bytesDone: number; bytesReceived: number; bytesWritten: number }

export type DownloadOutcome =
  | { state: 'more'; nextChunk: number; progress: DownloadProgress }
  /** Every byte was authenticated, written and flushed. */
  | { state: 'done'; progress: DownloadProgress }

/** A block volume's backup, as its root describes it. */
export type BackupSummary = { root: string; about: BackupAbout; source: BlockSource }

/** A backup of any kind. `about` undefined: the root does not open, so that nothing proves who owns it. */
export type FoundRoot = { root: string; session: string; about: BackupAbout | undefined }

export type SliceOptions<Progress> = {
  /** Stops after the current chunk, writes a checkpoint and answers `more`. */
  signal: AbortSignal
  /** At most every second. */
  onProgress: (progress: Progress) => void
}

export type TransferOptions<Progress> = SliceOptions<Progress> & {
  /** Kills the child while it runs this transfer, and rejects with `MoverKilled`: no write may follow. It never kills another transfer. */
  kill: AbortSignal
}

/** One transfer at a time; a second call waits for the first. */
export interface Mover {
  upload(request: UploadRequest, options: TransferOptions<UploadProgress>): Promise<UploadOutcome>
  download(request: DownloadRequest, options: TransferOptions<DownloadProgress>): Promise<DownloadOutcome>
  /**
   * Closes what this mover keeps open while it is idle, and releases the access that a crashed mover has left: until then vCenter refuses to
   * migrate that mover's disk. Safe to call twice, beside a transfer of another disk, and when nothing is left.
   * `kill`: gives up and rejects with `MoverKilled`; the child is then killed, unless it runs a transfer.
   */
  endAccess(disk: DiskRef, kill: AbortSignal): Promise<void>
  /** Ends the child gracefully; called when it is idle. */
  close(): Promise<void>
}

/** Repository operations for the light functions and for the upload's preparation; no disk is involved. */
export interface Repositories {
  /**
   * Opens the repository, or creates it when the bucket holds none: config, a key slot from `password`, a recovery slot if one is given.
   * `onOpened` reports which repository it is before a recovery slot is added to it, because adding the slot may fail each time.
   */
  ensure(
    access: RepositoryAccess,
    recovery: RecoveryChoice | undefined,
    onOpened?: (repositoryId: string) => Promise<void>,
  ): Promise<RepositoryState>
  /** As ensure, for a location that must not be written: nothing is created, added or probed. TerminalError `RepositoryMissing`. */
  inspect(access: RepositoryAccess): Promise<RepositoryState>
  newSessionId(access: RepositoryAccess, point: SourcePoint, attempt: string): Promise<string>
  /** Sealed backups of a volume, newest first; backups that cannot be read, or are of another kind, are left out with a warning. */
  backupsOf(access: RepositoryAccess, sourceId: string): Promise<BackupSummary[]>
  /** TerminalError `RepositoryVersionUnknown`: the backup is of another kind than a block volume's, or of a newer version. */
  find(access: RepositoryAccess, sourceId: string, snapshotId: string): Promise<BackupSummary | undefined>
  /**
   * Every root of a snapshot, of any kind, newest first, even one that does not open: the caller decides who owns each before it is
   * forgotten.
   */
  rootsOf(access: RepositoryAccess, sourceId: string, snapshotId: string): Promise<FoundRoot[]>
  /**
   * Removes the snapshot's roots, and fences its sessions; the next prune removes the data. `only`: these roots; a root that was sealed since
   * stays, and needs a decision of its own. Without it every root. false: there was none.
   */
  forget(access: RepositoryAccess, sourceId: string, snapshotId: string, only?: readonly string[]): Promise<boolean>
  /** Gives up a session: fences it (a tombstone at its root's key) and removes its checkpoints. false: it was sealed already. */
  abandon(access: RepositoryAccess, session: string): Promise<boolean>
  /** Whether a session that was given up has left a checkpoint from which the volume's next backup can continue. */
  leavesCheckpoint(access: RepositoryAccess, session: string): Promise<boolean>
  /** One slice of garbage collection. Safe beside all other operations, in any number of processes, and after a crash at any point. */
  prune(access: RepositoryAccess, options: PruneSlice): Promise<PruneReport & Pick<RepositoryState, 'damagedSlots'>>
}

export type PruneSlice = {
  /**
   * It starts no new work after this long; the next slice continues from what it recorded. LISTs at its beginning count
   * only so far that half of this time is left for new work: each slice makes progress.
   */
  sliceMs: number
  /** A session without a new object for this long, by the store's own times, is given up. */
  sessionIdleMs: number
  signal?: AbortSignal | undefined
}

export type PruneReport = {
  /** `done`: nothing is left to do. `waiting`: for sessions that may still name packs that are to be deleted. `more`: time was up. */
  state: 'done' | 'waiting' | 'more'
  /** Sessions that prune waits for. */
  waitsFor: string[]
  /** Sessions that were given up because they were idle. */
  fenced: string[]
  /** Removed objects, by the first part of their names (`packs`, `index`, …). */
  removed: Record<string, { objects: number; bytes: number }>
  /** Packs that roots name, and bytes in them. */
  kept: { objects: number; bytes: number }
  /** Current progress. */
  progress: PruneProgress
}

/**
 * `survey`: roots that were read, and pages of the root that was begun. `delete`: packs of the current list that are deleted.
 * `tidy`: other leftovers.
 */
export type PruneProgress =
  | { phase: 'survey'; roots: { done: number; total: number }; pages: { done: number; total: number } }
  | { phase: 'delete'; packs: { done: number; total: number } }
  | { phase: 'tidy' }

export type RecoveryChoice = { kind: 'passphrase'; passphrase: string } | { kind: 'publicKey'; pem: string }

export type RepositoryState = {
  repositoryId: string
  created: boolean
  recoverySlot: boolean
  /** Names of key slots that were damaged or planted (their MAC is wrong), sorted. A recovery slot among them does not count as one. */
  damagedSlots: readonly string[]
  /** PUT with if-none-match and list-after-write behave as the protocol needs; undefined: not tested. */
  conditionalPut: boolean | undefined
}
