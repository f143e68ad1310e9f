// Writes a backup into a disk, page after page of its map: every byte is authenticated before it is written.

import { LocationTable } from '#shared/format/location-table.ts'
import { rootKey, sessionInKey } from '#shared/format/names.ts'
import type { Root } from '#shared/format/root.ts'
import { CorruptionError, TerminalError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import type { DownloadOutcome, DownloadProgress, DownloadRequest, TransferOptions } from '#shared/ports/mover.ts'
import { BlobReader } from './blob-reader.ts'
import { budgetFor, DEFAULT_MEMORY_MIB, DEFAULT_WORKERS } from './budget.ts'
import { ByteGate } from './byte-gate.ts'
import { type Fetch, planFetches } from './download-plan.ts'
import { countGarbage } from './garbage.ts'
import { type Geometry, geometryOf, pageExtent, pageSpan, spanBytes } from './geometry.ts'
import type { Lane } from './lane.ts'
import { type Repository, requireRepository } from './repository.ts'
import { readRoot } from './seal.ts'
import { Stopper } from './stopper.ts'
import { throttled } from './throttled.ts'
import type { EngineDeps } from './upload.ts'

/** Pages under way: the next one is fetched while the last parts of this one are written. */
const PAGES_AHEAD = 2
/** Requests under way for each worker, when every one is as large as it may be. */
const FETCHES_PER_WORKER = 4
/** Zeros that one order writes; in between, the caller's wish to stop is heard. */
const ZERO_RUN_BYTES = 64 * MiB

export async function download(
  request: DownloadRequest,
  deps: EngineDeps,
  options: TransferOptions<DownloadProgress>,
): Promise<DownloadOutcome> {
  const repository = await requireRepository(deps.store, request.repository.password, deps.keyCache)
  const root = await requireRoot(repository, request.root)
  const stopper = new Stopper(deps.clock, request.sliceMs, options.signal)
  try {
    return await new DownloadSlice({ repository, request, deps, root, stopper }, options.onProgress).run()
  } finally {
    stopper.dispose()
  }
}

async function requireRoot(repository: Repository, key: string): Promise<Root> {
  const session = sessionInKey(key)
  const root = session === undefined ? undefined : await readRoot(repository, session)
  if (session === undefined || root === undefined || key !== rootKey(session)) {
    throw new TerminalError('RootMissing', `${repository.store.location}/${key}: there is no such backup`)
  }
  const { chunkBytes, pageChunks } = repository.config
  if (root.chunkBytes === chunkBytes && root.pageChunks === pageChunks) return root
  throw new CorruptionError('RootCorrupt', `${repository.store.location}/${key}: cut otherwise than its repository`)
}

type DownloadContext = {
  repository: Repository
  request: DownloadRequest
  deps: EngineDeps
  root: Root
  stopper: Stopper
}

/** Ends what is under way when the caller wants to stop; never leaves this file. */
class Stopped extends Error {}

class DownloadSlice {
  readonly #request: DownloadRequest
  readonly #repository: Repository
  readonly #deps: EngineDeps
  readonly #root: Root
  readonly #geometry: Geometry
  readonly #stopper: Stopper
  readonly #failed = new AbortController()
  readonly #blobs: BlobReader
  readonly #progress: Omit<DownloadProgress, 'bytesReceived'>
  readonly #report: () => void
  #lanes: readonly Lane[] = []
  #nextLane = 0

  constructor(
    { repository, request, deps, root, stopper }: DownloadContext,
    onProgress: (progress: DownloadProgress) => void,
  ) {
    this.#repository = repository
    this.#request = request
    this.#deps = deps
    this.#root = root
    this.#stopper = stopper
    this.#geometry = geometryOf(root.capacityBytes, root)
    this.#blobs = new BlobReader(repository, this.#failed.signal)
    const bytesDone = Math.min(root.capacityBytes, pageExtent(this.#geometry, request.nextPage, 0).offsetBytes)
    this.#progress = { totalBytes: root.capacityBytes, bytesDone, bytesWritten: 0 }
    this.#report = throttled(deps.clock, () => onProgress(this.#progressNow()))
  }

  async run(): Promise<DownloadOutcome> {
    const { workers = DEFAULT_WORKERS, memoryMib = DEFAULT_MEMORY_MIB } = this.#deps
    const { fetchBytes } = budgetFor(memoryMib, workers, this.#geometry.chunkBytes)
    this.#lanes = await this.#openLanes()
    const nextPage = await this.#restorePages(
      new ByteGate(fetchBytes),
      Math.floor(fetchBytes / (FETCHES_PER_WORKER * workers)),
    )
    await Promise.all(this.#lanes.map((lane) => lane.flushDisk()))
    const progress = this.#progressNow()
    return nextPage === this.#geometry.pageCount ? { state: 'done', progress } : { state: 'more', nextPage, progress }
  }

  /**
   * Answers the first page that is not wholly written. At the end of the slice the pages under way are finished, so
   * that each slice gets further; when the caller wants to stop they are dropped.
   */
  async #restorePages(gate: ByteGate, mostBytes: number): Promise<number> {
    const underWay = new Map<number, Promise<void>>()
    let begun = this.#request.nextPage
    let done = begun
    try {
      for (;;) {
        while (underWay.size < PAGES_AHEAD && this.#mayBegin(begun)) {
          const restoring = this.#restorePage(begun, gate, mostBytes)
          restoring.catch(() => {})
          underWay.set(begun++, restoring)
        }
        const oldest = underWay.get(done)
        if (oldest === undefined) return done
        await oldest
        underWay.delete(done++)
      }
    } catch (error) {
      this.#stopper.stop()
      this.#failed.abort(error)
      // Nothing may be written after this call has ended.
      await Promise.allSettled(underWay.values())
      if (error instanceof Stopped) return done
      throw error
    }
  }

  /** One page in any case: a slice that gets nowhere would be followed by another. */
  #mayBegin(page: number): boolean {
    if (page >= this.#geometry.pageCount || this.#stopper.isUrgent) return false
    return page === this.#request.nextPage || !this.#stopper.isStopping
  }

  async #restorePage(page: number, gate: ByteGate, mostBytes: number): Promise<void> {
    const map = await this.#readMap(page)
    const { first } = pageSpan(this.#geometry, page)
    const fetches = map === undefined ? [] : planFetches(map, first, mostBytes)
    const parts = [this.#restoreZeros(page, map), ...fetches.map((fetch) => this.#restoreFetch(fetch, gate))]
    for (const part of parts) part.catch((error: unknown) => this.#failed.abort(error))
    // Not Promise.all: what still runs would write.
    await Promise.allSettled(parts)
    this.#failed.signal.throwIfAborted()
  }

  async #readMap(page: number): Promise<LocationTable | undefined> {
    const location = this.#root.pages.get(page)
    if (location === undefined) return undefined
    const map = LocationTable.decode(await this.#blobs.read('page', location))
    const { first, end } = pageSpan(this.#geometry, page)
    if (map.length === end - first) return map
    const where = this.#blobs.where(location)
    throw new CorruptionError('PageCorrupt', `page ${page} in ${where} has ${map.length} entries, want ${end - first}`)
  }

  async #restoreFetch(fetch: Fetch, gate: ByteGate): Promise<void> {
    const share = await gate.enter(fetch.lengthBytes)
    try {
      this.#checkGoing()
      const location = fetch.blobs.get(0)
      if (location === undefined) throw new Error('an empty fetch was planned')
      const part = await this.#blobs.readPart('chunk', location, fetch.offset, fetch.lengthBytes)
      this.#checkGoing()
      const fetched = { where: this.#blobs.where(location), blobs: fetch.blobs.encode(), targets: fetch.targets }
      const written = await this.#lane().write({ ...part, ...fetched }, () => this.#taken(part.bytes))
      this.#progress.bytesWritten += written
      this.#done(written)
    } finally {
      gate.leave(share)
    }
  }

  /** Runs of zero chunks: nothing to do on a disk that reads as zeros, else they are written. */
  async #restoreZeros(page: number, map: LocationTable | undefined): Promise<void> {
    const { first, end } = pageSpan(this.#geometry, page)
    const mostChunks = Math.max(1, Math.floor(ZERO_RUN_BYTES / this.#geometry.chunkBytes))
    for (let chunk = first; chunk < end; ) {
      let next = chunk
      while (next < end && next - chunk < mostChunks && (map === undefined || map.isEmpty(next - first))) next++
      if (next > chunk) await this.#restoreZeroRun(chunk, next)
      chunk = Math.max(next, chunk + 1)
    }
  }

  async #restoreZeroRun(first: number, end: number): Promise<void> {
    const lengthBytes = spanBytes(this.#geometry, first, end)
    if (!this.#request.targetIsZeroed) {
      this.#checkGoing()
      await this.#lane().writeZeros(first * this.#geometry.chunkBytes, lengthBytes)
      this.#progress.bytesWritten += lengthBytes
    }
    this.#done(lengthBytes)
  }

  #taken(bytes: Uint8Array): void {
    if (this.#deps.recycle === undefined) countGarbage(bytes.length)
    else this.#deps.recycle(bytes)
  }

  #checkGoing(): void {
    this.#failed.signal.throwIfAborted()
    if (this.#stopper.isUrgent) throw new Stopped('the caller wants to stop')
  }

  #lane(): Lane {
    const lane = this.#lanes[this.#nextLane++ % this.#lanes.length]
    if (lane === undefined) throw new Error('no lane is open')
    return lane
  }

  #openLanes(): Promise<Lane[]> {
    const { keys } = this.#repository
    const { chunkBytes, capacityBytes } = this.#geometry
    const secrets = { repositoryId: keys.repositoryId, master: keys.master }
    const uploadOnly = { session: '', packBytes: 0, packBuffers: 0 }
    const setup = { ...secrets, ...uploadOnly, chunkBytes, capacityBytes, stop: this.#stopper.flag }
    return this.#deps.openLanes(this.#request.disk, setup, true)
  }

  #done(bytes: number): void {
    this.#progress.bytesDone += bytes
    this.#report()
  }

  #progressNow(): DownloadProgress {
    return { ...this.#progress, bytesReceived: this.#blobs.bytesReceived }
  }
}
