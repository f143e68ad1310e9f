// A repository and a mover in memory, for scenario tests: whole disks by session, sealed once, resumable by chunk.
// It keeps the promises of the ports (a fenced session never seals, a sealed one is never fenced) and nothing of the format.

import { CorruptionError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { Disk } from '#shared/ports/disk.ts'
import type {
  BackupAbout,
  BackupSummary,
  DownloadOutcome,
  DownloadProgress,
  DownloadRequest,
  Mover,
  Repositories,
  RepositoryState,
  TransferOptions,
  UploadOutcome,
  UploadProgress,
  UploadRequest,
} from '#shared/ports/mover.ts'

export type OpenDisk = (fcdId: string, snapshotId: string | undefined, writable: boolean) => Disk

type Root = { kind: 'backup'; data: Uint8Array; about: BackupAbout; sealedAt: number } | { kind: 'tombstone' }

export type VaultOptions = {
  openDisk: OpenDisk
  chunkBytes: number
  /** Chunks that fit into one slice. */
  chunksPerSlice: number
  /** What a chunk takes; at once without it. */
  pause?: (signal: AbortSignal) => Promise<void>
  /** Runs before each durable write: a scenario's scheduler dies here. */
  beforeWrite?: (what: string) => void
}

/** What is durable: shared by all processes of a scenario. */
export class MemoryVault implements Repositories {
  readonly roots = new Map<string, Root>()
  readonly checkpoints = new Map<string, { next: number; data: Uint8Array }>()
  readonly options: VaultOptions
  #sealed = 0

  constructor(options: VaultOptions) {
    this.options = options
  }

  async ensure(): Promise<RepositoryState> {
    return { repositoryId: 'memory', created: false, recoverySlot: true, conditionalPut: true }
  }

  async newSessionId(_access: unknown, about: BackupAbout, attempt: string): Promise<string> {
    return `${about.fcdId}/${about.snapshotId}/${attempt}`
  }

  async backupsOf(_access: unknown, fcdId: string): Promise<BackupSummary[]> {
    const found = [...this.roots].filter(([, root]) => root.kind === 'backup' && root.about.fcdId === fcdId)
    return found
      .sort(([, a], [, b]) => sealedAt(b) - sealedAt(a))
      .flatMap(([root, backup]) =>
        backup.kind === 'backup' ? [{ root, capacityBytes: backup.data.length, about: backup.about }] : [],
      )
  }

  async find(access: unknown, fcdId: string, snapshotId: string): Promise<BackupSummary | undefined> {
    return (await this.backupsOf(access, fcdId)).find((backup) => backup.about.snapshotId === snapshotId)
  }

  async forget(access: unknown, fcdId: string, snapshotId: string): Promise<boolean> {
    const found = await this.find(access, fcdId, snapshotId)
    if (found === undefined) return false
    this.options.beforeWrite?.('forget')
    return this.roots.delete(found.root)
  }

  async abandon(_access: unknown, session: string): Promise<boolean> {
    this.options.beforeWrite?.('abandon')
    const root = this.roots.get(session)
    if (root?.kind === 'backup') return false
    this.roots.set(session, { kind: 'tombstone' })
    this.checkpoints.delete(session)
    return true
  }

  seal(session: string, data: Uint8Array, about: BackupAbout): void {
    this.options.beforeWrite?.('seal')
    const root = this.roots.get(session)
    if (root?.kind === 'tombstone') throw new RetryableError('SessionFenced', `session ${session} was given up`)
    if (root === undefined) this.roots.set(session, { kind: 'backup', data, about, sealedAt: ++this.#sealed })
    this.checkpoints.delete(session)
  }
}

/** The mover of one process. After kill() none of its writes is durable any more. */
export class MemoryMover implements Mover {
  readonly #vault: MemoryVault
  #killed = false

  constructor(vault: MemoryVault) {
    this.#vault = vault
  }

  async upload(request: UploadRequest, options: TransferOptions<UploadProgress>): Promise<UploadOutcome> {
    const { chunkBytes, chunksPerSlice, openDisk, beforeWrite } = this.#vault.options
    const saved = this.#vault.checkpoints.get(request.session)
    const data = saved?.data.slice() ?? this.#startingPoint(request)
    const disk = openDisk(request.disk.fcdId, request.disk.snapshotId, false)
    try {
      let next = saved?.next ?? 0
      for (
        let moved = 0;
        next * chunkBytes < data.length && moved < chunksPerSlice && !options.signal.aborted;
        moved++
      ) {
        disk.read(next * chunkBytes, data.subarray(next * chunkBytes, (next + 1) * chunkBytes))
        next++
        await this.#vault.options.pause?.(options.signal)
      }
      this.#requireAlive()
      beforeWrite?.('checkpoint')
      this.#vault.checkpoints.set(request.session, { next, data })
      const bytesDone = Math.min(data.length, next * chunkBytes)
      const progress = {
        totalBytes: data.length,
        bytesDone,
        bytesRead: bytesDone,
        bytesSent: bytesDone,
        bytesStored: bytesDone,
      }
      options.onProgress(progress)
      if (bytesDone < data.length) return { state: 'more', progress }
      this.#requireAlive()
      this.#vault.seal(request.session, data, request.about)
      return { state: 'sealed', root: request.session, progress, mode: 'Everything' }
    } finally {
      disk.close()
    }
  }

  async download(request: DownloadRequest, options: TransferOptions<DownloadProgress>): Promise<DownloadOutcome> {
    const { chunkBytes, chunksPerSlice, openDisk, beforeWrite } = this.#vault.options
    const root = this.#vault.roots.get(request.root)
    if (root?.kind !== 'backup') throw new CorruptionError('BackupNotFound', `root ${request.root} is gone`)
    const disk = openDisk(request.disk.fcdId, undefined, true)
    try {
      if (disk.capacityBytes < root.data.length) throw new TerminalError('TargetTooSmall', 'the disk is too small')
      let next = request.nextChunk
      for (
        let moved = 0;
        next * chunkBytes < root.data.length && moved < chunksPerSlice && !options.signal.aborted;
        moved++
      ) {
        this.#requireAlive()
        beforeWrite?.('disk')
        disk.write(next * chunkBytes, root.data.subarray(next * chunkBytes, (next + 1) * chunkBytes))
        next++
        await this.#vault.options.pause?.(options.signal)
      }
      disk.flush()
      const bytesDone = Math.min(root.data.length, next * chunkBytes)
      const progress = { totalBytes: root.data.length, bytesDone, bytesReceived: bytesDone, bytesWritten: bytesDone }
      options.onProgress(progress)
      return bytesDone < root.data.length ? { state: 'more', nextChunk: next, progress } : { state: 'done', progress }
    } finally {
      disk.close()
    }
  }

  kill(): void {
    this.#killed = true
  }

  async close(): Promise<void> {}

  #startingPoint(request: UploadRequest): Uint8Array {
    return new Uint8Array(request.capacityBytes)
  }

  #requireAlive(): void {
    if (this.#killed) throw new RetryableError('MoverKilled', 'the mover was killed')
  }
}

function sealedAt(root: Root): number {
  return root.kind === 'backup' ? root.sealedAt : 0
}
