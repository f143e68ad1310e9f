// Helpers that the engine's tests share: small repositories in memory, disks with a history, one call per backup and restore.

import { systemClock } from '#shared/kernel/clock.ts'
import { HOUR_MS, KiB } from '#shared/kernel/units.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import { download } from '#shared/movers/block/download.ts'
import { inlineLane } from '#shared/movers/block/inline-lane.ts'
import type { Lane, LaneSetup } from '#shared/movers/block/lane.ts'
import { type EngineDeps, upload } from '#shared/movers/block/upload.ts'
import type { Disk } from '#shared/ports/disk.ts'
import type {
  BackupAbout,
  BlockFacts,
  DiskRef,
  DownloadOutcome,
  Repositories,
  RepositoryAccess,
  SourcePoint,
  UploadEnd,
  UploadOutcome,
  UploadRequest,
} from '#shared/ports/mover.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { MemoryDisk, type MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { createRepositories } from '#shared/repository/repositories.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { bucketSettings } from './stores.ts'

export const CHUNK_BYTES = 4 * KiB
/** Pages of 16 chunks: 64 KiB of volume each, so that small volumes have several. */
export const PAGE_CHUNKS = 16
export const FCD = 'fcd-1'
export const CHEAP_SCRYPT = { N: 16, r: 1, p: 1 }

/** A volume of some hundred chunks fills several packs, batches and fetches with this budget. */
const SMALL_BUDGET = {
  packBytes: 8 * CHUNK_BYTES,
  packBuffersPerLane: 2,
  batchBytes: 4 * CHUNK_BYTES,
  knownChunks: 1024,
  openPages: 3,
  fetchBytes: 32 * CHUNK_BYTES,
}

export const access: RepositoryAccess = {
  password: 'correct horse',
  store: bucketSettings,
}

const noDisk: DiskRef = {
  access: { server: '', port: 0, thumbprintSha1: '', user: '', password: '', datastoreMoref: '' },
  fcdId: FCD,
  snapshotId: undefined,
}

export type UploadOptions = {
  repository?: RepositoryAccess
  content: MemoryDiskContent
  session: string
  snapshotId: string
  slice?: number
  sliceMs?: number
  changedAreas?: UploadRequest['changedAreas']
  parentRoot?: string | undefined
  signal?: AbortSignal
  tellsAllocation?: boolean
  workers?: number
  packBytes?: number
  wrapDisk?: (disk: MemoryDisk) => MemoryDisk
}

export const ABOUT: BackupAbout = { clusterId: 'c', createdMs: 1_700_000_000_000, claim: 'ns/pvc' }

export const factsOf = (snapshotId: string, diskId = FCD): BlockFacts => ({ diskId, snapshotId, changeId: undefined })

export const pointOf = (snapshotId: string, sourceId = FCD, createdMs = ABOUT.createdMs): SourcePoint => ({
  sourceId,
  snapshotId,
  createdMs,
})

/** A slice of no length is over before it begins. */
const NO_TIME = { ...systemClock, sleep: async () => undefined }

/** One repository over a store; `disks` records every disk that was opened. */
export class EngineWorld {
  store: ObjectStore
  readonly repositories: Repositories
  readonly warnings: string[] = []
  readonly messages: string[] = []
  readonly disks: MemoryDisk[] = []
  /** Clock and pacer of transfers, for tests about time. */
  timing: Pick<EngineDeps, 'clock' | 'pacer'> = { clock: systemClock }

  constructor(store: ObjectStore = new MemoryObjectStore()) {
    this.store = store
    this.repositories = createRepositories({
      storeOf: () => this.store,
      clock: systemClock,
      chunkBytes: CHUNK_BYTES,
      pageChunks: PAGE_CHUNKS,
      scrypt: CHEAP_SCRYPT,
      warn: (reason) => this.warnings.push(reason),
      sourceOf: blockSourceOf,
    })
  }

  static async create(store?: ObjectStore): Promise<EngineWorld> {
    const world = new EngineWorld(store)
    await world.repositories.ensure(access, undefined)
    return world
  }

  /** The same repository as another process sees it, through a store object of its own. */
  through(store: ObjectStore): EngineWorld {
    return new EngineWorld(store)
  }

  newSession(snapshotId: string, attempt = '1', createdMs?: number): Promise<string> {
    return this.repositories.newSessionId(access, pointOf(snapshotId, FCD, createdMs), attempt)
  }

  async uploadSlice(options: UploadOptions): Promise<UploadEnd> {
    const outcome = await this.askForSlice(options)
    if (outcome.state === 'unplanned') throw new Error('the areas are wanted')
    return outcome
  }

  async askForSlice(options: UploadOptions): Promise<UploadOutcome> {
    const { content, session, snapshotId, slice = 1, sliceMs = HOUR_MS, changedAreas, parentRoot } = options
    const request = {
      repository: options.repository ?? access,
      disk: noDisk,
      session,
      slice,
      sliceMs,
      capacityBytes: content.capacityBytes,
      changedAreas,
      parentRoot,
      about: ABOUT,
      source: factsOf(snapshotId),
    }
    const signal = options.signal ?? new AbortController().signal
    const { tellsAllocation = true, workers, packBytes = SMALL_BUDGET.packBytes, wrapDisk = (disk) => disk } = options
    const clock = sliceMs === 0 ? NO_TIME : this.timing.clock
    const deps = {
      ...this.deps(() => wrapDisk(new MemoryDisk(content, { tellsAllocation })), workers),
      clock,
      budget: { ...SMALL_BUDGET, packBytes },
    }
    return await upload(request, deps, { signal, onProgress: () => {} })
  }

  /** Makes a whole backup in one slice; returns its root. */
  async backup(content: MemoryDiskContent, snapshotId: string, options: Partial<UploadOptions> = {}): Promise<string> {
    const session = options.session ?? (await this.newSession(snapshotId))
    const outcome = await this.uploadSlice({ content, snapshotId, ...options, session })
    if (outcome.state !== 'sealed') throw new Error('the backup is not sealed')
    return outcome.root
  }

  async restoreSlice(
    content: MemoryDiskContent,
    root: string,
    options: {
      repository?: RepositoryAccess
      nextChunk?: number
      targetIsZeroed?: boolean
      signal?: AbortSignal
      sliceMs?: number
      recycle?: (bytes: Uint8Array) => void
      wrapDisk?: (disk: MemoryDisk) => MemoryDisk
    } = {},
  ): Promise<DownloadOutcome> {
    const { nextChunk = 0, targetIsZeroed = true, sliceMs = HOUR_MS } = options
    const { repository = access } = options
    const request = { repository, disk: noDisk, root, sliceMs, nextChunk, targetIsZeroed }
    const signal = options.signal ?? new AbortController().signal
    const clock = sliceMs === 0 ? NO_TIME : this.timing.clock
    const { recycle, wrapDisk = (disk) => disk } = options
    const deps = {
      ...this.deps(() => wrapDisk(new MemoryDisk(content))),
      clock,
      ...(recycle === undefined ? {} : { recycle }),
    }
    return await download(request, deps, { signal, onProgress: () => {} })
  }

  private deps(openDisk: () => MemoryDisk, workers = 2): EngineDeps {
    const openLanes = async (_disk: DiskRef, setup: LaneSetup): Promise<Lane[]> =>
      Array.from({ length: workers }, () => {
        const disk = openDisk()
        this.disks.push(disk)
        return inlineLane(disk as Disk, setup)
      })
    const warn = (reason: string, message: string) => {
      this.warnings.push(reason)
      this.messages.push(message)
    }
    return { store: this.store, ...this.timing, openLanes, warn, workers, budget: SMALL_BUDGET }
  }

  get bytesRead(): number {
    return this.disks.reduce((sum, disk) => sum + disk.bytesRead, 0)
  }
}

/** Every byte of the disk. */
export function bytesOf(content: MemoryDiskContent): Buffer {
  const bytes = Buffer.alloc(content.capacityBytes)
  new MemoryDisk(content).read(0, bytes)
  return bytes
}
