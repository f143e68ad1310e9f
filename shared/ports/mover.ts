// The transfer of one slice, as the upload and download functions ask for it. It runs in a child process (shared/movers/process).

import type { VolumeRecord } from '#shared/domain/volume-record.ts'
import type { Extent } from './disk.ts'
import type { StoreSettings } from './stores.ts'
import type { DiskAccess } from './volumes.ts'

/** Everything needed to open a repository. Holds secrets: memory only. */
export type RepositoryAccess = {
  store: StoreSettings
  /** The user's secret that unwraps a key slot. */
  password: string
  /** What is there must be this very repository, else TerminalError `RepositoryDiffers`. */
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
   * Areas to look at; undefined: ask the disk for its allocated ones. Given only together with `parentRoot`. `not asked`: vCenter would tell
   * them, in hundreds of large answers, and an earlier slice has most likely planned already.
   */
  changedAreas: Extent[] | 'not asked' | undefined
  /** Root key of the backup whose map this one starts from. */
  parentRoot: string | undefined
  /** Both are kept inside the sealed root: what a restore on another cluster needs to know. */
  about: BackupAbout
  source: BlockFacts
}

/** What every backup says of itself, whatever it is of. */
export type BackupAbout = {
  clusterId: string
  createdMs: number
  /** `<namespace>/<name>` of the PVC. The namespace is the owner of the backup (docs/design/0004-trust.md). */
  claim: string
  /** Name of the Backup of Velero that it was made for; a Restore of that Backup may map it into another namespace. */
  backup?: string | undefined
}

/** A block volume as it was when its snapshot was taken. */
export type BlockFacts = {
  diskId: string
  snapshotId: string
  changeId: string | undefined
  /**
   * Older snapshots of the disk stood when its own was taken, or nobody knows: a revert to one of them gives epochs of its change tracking
   * once more, so that its change id proves nothing later. undefined: nobody looked.
   */
  revertible?: boolean | undefined
  /** The PersistentVolume as it was; undefined: nobody could read it, or an earlier release made the backup. */
  volume?: VolumeRecord | undefined
}

/** What the root of a block volume's backup says of it. */
export type BlockSource = Omit<BlockFacts, 'volume'> & {
  capacityBytes: number
  /** Whoever reads it looks at each part: `readRecord`. */
  volume?: object | undefined
}

/** What is backed up, by ids that a repository keeps only as keyed hashes, in the names of sessions. */
export type SourcePoint = { sourceId: string; snapshotId: string; createdMs: number }

export type UploadProgress = {
  /** Bytes of the volume that this backup has to look at, and has looked at, over all slices. */
  totalBytes: number
  bytesDone: number
  /** Read from the disk, sent to the store, stored as data (packs), over all slices. */
  bytesRead: number
  bytesSent: number
  bytesStored: number
}

export type UploadOutcome =
  /** The areas were `not asked` and no slice has kept a plan: nothing was moved, the same request is to come again with them. */
  { state: 'unplanned' } | UploadEnd

export type UploadEnd =
  /** The slice's time is over; what was moved is durable and checkpointed. `bytesBefore`: what of it was so when the slice began. */
  | { state: 'more'; progress: UploadProgress; bytesBefore: number }
  /** The root is durable, was read back and verified. */
  | {
      state: 'sealed'
      root: string
      progress: UploadProgress
      mode: 'Changed' | 'Allocated' | 'Everything'
      /** Packs of earlier backups that were lost, and pages whose part in them was read from the disk again. */
      healed?: { packs: number; pages: number }
    }

export type DownloadRequest = {
  repository: RepositoryAccess
  disk: DiskRef
  root: string
  sliceMs: number
  /** Chunks below this one are written and flushed already. */
  nextChunk: number
  /** The new disk is known to read as zeros where nothing was written. */
  targetIsZeroed: boolean
}

export type DownloadProgress = { totalBytes: number; bytesDone: number; bytesReceived: number; bytesWritten: number }

export type DownloadOutcome =
  | { state: 'more'; nextChunk: number; progress: DownloadProgress }
  /** Every byte was authenticated, written and flushed. */
  | { state: 'done'; progress: DownloadProgress }

/** A block volume's backup as its root tells it. */
export type BackupSummary = { root: string; about: BackupAbout; source: BlockSource }

/** Of a backup of any kind. `about` undefined: the root does not open, so that nothing proves whose it is. */
export type FoundRoot = { root: string; session: string; about: BackupAbout | undefined }

export type SliceOptions<Progress> = {
  /** Stops after the chunk in hand, checkpoints and answers `more`. */
  signal: AbortSignal
  /** At most every second. */
  onProgress: (progress: Progress) => void
}

export type TransferOptions<Progress> = SliceOptions<Progress> & {
  /** Kills the child when this transfer is at work in it, and rejects with `MoverKilled`: no write may follow. It hits no other transfer. */
  kill: AbortSignal
}

/** One transfer at a time; a second call waits for the first. */
export interface Mover {
  upload(request: UploadRequest, options: TransferOptions<UploadProgress>): Promise<UploadOutcome>
  download(request: DownloadRequest, options: TransferOptions<DownloadProgress>): Promise<DownloadOutcome>
  /**
   * Closes what this mover keeps open while it is idle, and takes back what one that died has left: its disk stays protected from
   * migration in vCenter until somebody does. Safe twice, beside a transfer of another disk, and when nothing is left over.
   * `kill`: gives up and rejects with `MoverKilled`; the child dies then, unless a transfer is at work in it.
   */
  endAccess(disk: DiskRef, kill: AbortSignal): Promise<void>
  /** Ends the child in order; called when idle. */
  close(): Promise<void>
}

/** What the light functions and the upload's preparation ask of a repository; no disk is involved. */
export interface Repositories {
  /**
   * Opens, or creates when the bucket holds none: config, a key slot from `password`, a recovery slot when one is given. `onOpened`: which one
   * it is, before a recovery slot is added to it: that may fail each time.
   */
  ensure(
    access: RepositoryAccess,
    recovery: RecoveryChoice | undefined,
    onOpened?: (repositoryId: string) => Promise<void>,
  ): Promise<RepositoryState>
  /** As ensure, for a location that must not be written: nothing is created, added or probed. TerminalError `RepositoryMissing`. */
  inspect(access: RepositoryAccess): Promise<RepositoryState>
  newSessionId(access: RepositoryAccess, point: SourcePoint, attempt: string): Promise<string>
  /** Sealed backups of a volume, newest first; those that cannot be read, or are of another kind, are left out with a warning. */
  backupsOf(access: RepositoryAccess, sourceId: string): Promise<BackupSummary[]>
  /** TerminalError `RepositoryVersionUnknown`: what is there is of another kind than a block volume's, or of a newer version. */
  find(access: RepositoryAccess, sourceId: string, snapshotId: string): Promise<BackupSummary | undefined>
  /** Every root of a snapshot, of any kind, newest first, also one that does not open: whose each is, is decided before it is forgotten. */
  rootsOf(access: RepositoryAccess, sourceId: string, snapshotId: string): Promise<FoundRoot[]>
  /**
   * Removes the snapshot's roots, and fences its sessions; the data goes with the next prune. `only`: these roots; one that was
   * sealed since stays, to be decided on. Without it every one. false: there was none.
   */
  forget(access: RepositoryAccess, sourceId: string, snapshotId: string, only?: readonly string[]): Promise<boolean>
  /** Gives a session up: fences it (a tombstone at its root's key) and removes its checkpoints. false: it was sealed already. */
  abandon(access: RepositoryAccess, session: string): Promise<boolean>
  /** Whether a session that was given up has left a checkpoint, for the volume's next backup to go on from. */
  leavesCheckpoint(access: RepositoryAccess, session: string): Promise<boolean>
  /** One slice of garbage collection. Safe beside everything else, in any number, and when it dies at any point. */
  prune(access: RepositoryAccess, options: PruneSlice): Promise<PruneReport & Pick<RepositoryState, 'damagedSlots'>>
}

export type PruneSlice = {
  /**
   * It begins nothing more after this long; what it recorded is gone on with by the next one. LISTs at its beginning count
   * as far as half of it stays for what is new: each slice gains something.
   */
  sliceMs: number
  /** A session without a new object for this long, by the store's own times, is given up. */
  sessionIdleMs: number
  signal?: AbortSignal | undefined
}

export type PruneReport = {
  /** `done`: nothing is left to do. `waiting`: for sessions that may still name what is to go. `more`: time was up. */
  state: 'done' | 'waiting' | 'more'
  /** Sessions that are waited for. */
  waitsFor: string[]
  /** Sessions that were given up because they were idle. */
  fenced: string[]
  /** What was removed, by the first part of its name (`packs`, `index`, …). */
  removed: Record<string, { objects: number; bytes: number }>
  /** Packs that roots name, and bytes in them. */
  kept: { objects: number; bytes: number }
  /** How far it is. */
  progress: PruneProgress
}

/**
 * `survey`: roots that were read, and pages of the root that was begun. `delete`: packs of the list at hand that are gone.
 * `tidy`: what else is left over.
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
  /** Names of key slots that were damaged or planted (their MAC is not right), sorted. A recovery slot among them is none. */
  damagedSlots: readonly string[]
  /** PUT with if-none-match and list-after-write behave as the protocol needs them; undefined: not tried. */
  conditionalPut: boolean | undefined
}
