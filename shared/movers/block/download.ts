// Writes a backup to a disk, page after page of its map: every byte is authenticated before it is written. A slice may end in the middle
// of a page: a page is 2 GiB of a volume, which a slow disk cannot write in one slice.

import { CorruptionError, TerminalError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import type { DownloadOutcome, DownloadProgress, DownloadRequest, SliceOptions } from '#shared/ports/mover.ts'
import { BlobReader, type PackPart } from '#shared/repository/core/blob-reader.ts'
import { countFreed } from '#shared/repository/core/freed-buffers.ts'
import type { Repository } from '#shared/repository/core/repository.ts'
import { readRoot } from '#shared/repository/core/seal.ts'
import { Stopper } from '#shared/repository/core/stopper.ts'
import { throttled } from '#shared/repository/core/throttled.ts'
import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import { rootKey, sessionInKey } from '#shared/repository/format/names.ts'
import { type BlockRoot, blockSourceOf } from './block-source.ts'
import { budgetFor, DEFAULT_MEMORY_MIB, DEFAULT_WORKERS, pacedBudget } from './budget.ts'
import { ByteGate } from './byte-gate.ts'
import { type Fetch, planFetches } from './download-plan.ts'
import { type Geometry, geometryOf, pageSpan, spanBytes } from './geometry.ts'
import type { Lane } from './lane.ts'
import { type EngineDeps, openPaced } from './upload.ts'

/** Pages in progress: the next one is fetched while the last parts of this one are written. */
const PAGES_AHEAD = 2
/** Concurrent requests for each worker, when every request has the largest size. */
const FETCHES_PER_WORKER = 4
/** Zeros that one call to a lane writes; between calls, the slice checks whether the caller wants to stop. */
const ZERO_RUN_BYTES = 64 * MiB

export async function download(
  request: DownloadRequest,
  deps: EngineDeps,
  options: SliceOptions<DownloadProgress>,
): Promise<DownloadOutcome> {
  const repository = await openPaced(deps, request.repository)
  const backup = await requireBackup(repository, request.root)
  const stopper = new Stopper(deps.clock, request.sliceMs, options.signal)
  try {
    return await new DownloadSlice({ repository, request, deps, backup, stopper }, options.onProgress).run()
  } finally {
    stopper.dispose()
  }
}

async function requireBackup(repository: Repository, key: string): Promise<BlockBackup> {
  const session = sessionInKey(key)
  const root = session === undefined ? undefined : await readRoot(repository, session)
  if (session === undefined || root === undefined || key !== rootKey(session)) {
    throw new TerminalError('RootMissing', `${repository.store.location}/${key}: there is no such backup`)
  }
  const source = blockSourceOf(root, `${repository.store.location}/${key}`)
  const { chunkBytes, pageChunks } = repository.config
  if (source.chunkBytes === chunkBytes && source.pageChunks === pageChunks) return { pages: root.pages, source }
  throw new CorruptionError('RootCorrupt', `${repository.store.location}/${key}: cut otherwise than its repository`)
}

type BlockBackup = { pages: LocationTable; source: BlockRoot }

type DownloadContext = {
  repository: Repository
  request: DownloadRequest
  deps: EngineDeps
  backup: BlockBackup
  stopper: Stopper
}

/** Ends work in progress when the caller wants to stop; never leaves this file. */
class Stopped extends Error {}

/** Chunks that are written in one call, or one after the other. `first`: the lowest of them. */
type Part = { first: number }
type ZeroRun = Part & { end: number }

class DownloadSlice {
  readonly #request: DownloadRequest
  readonly #repository: Repository
  readonly #deps: EngineDeps
  readonly #pages: LocationTable
  readonly #geometry: Geometry
  readonly #stopper: Stopper
  readonly #failed = new AbortController()
  readonly #blobs: BlobReader
  readonly #progress: Omit<DownloadProgress, 'bytesReceived'>
  readonly #report: () => void
  /** Parts that were planned and are not written yet. A page that is not planned yet is in it as a whole. */
  readonly #unwritten = new Set<Part>()
  /** Where this slice begins, and how far it has planned. */
  readonly #begin: number
  #plannedEnd: number
  #lanes: readonly Lane[] = []
  #nextLane = 0

  constructor(
    { repository, request, deps, backup, stopper }: DownloadContext,
    onProgress: (progress: DownloadProgress) => void,
  ) {
    this.#repository = repository
    this.#request = request
    this.#deps = deps
    this.#pages = backup.pages
    this.#stopper = stopper
    this.#geometry = geometryOf(backup.source.capacityBytes, backup.source)
    this.#blobs = new BlobReader(repository, this.#failed.signal)
    this.#begin = Math.min(request.nextChunk, this.#geometry.chunkCount)
    this.#plannedEnd = this.#begin
    const bytesDone = spanBytes(this.#geometry, 0, this.#begin)
    this.#progress = { totalBytes: backup.source.capacityBytes, bytesDone, bytesWritten: 0 }
    this.#report = throttled(deps.clock, () => onProgress(this.#progressNow()))
  }

  async run(): Promise<DownloadOutcome> {
    const { workers = DEFAULT_WORKERS, memoryMib = DEFAULT_MEMORY_MIB } = this.#deps
    const ample = budgetFor(memoryMib, workers, this.#geometry.chunkBytes)
    const { fetchBytes } = { ...pacedBudget(ample, this.#deps.pacer, this.#geometry.chunkBytes), ...this.#deps.budget }
    this.#lanes = await this.#openLanes()
    await this.#restorePages(new ByteGate(fetchBytes), Math.floor(fetchBytes / (FETCHES_PER_WORKER * workers)))
    await Promise.all(this.#lanes.map((lane) => lane.flushDisk()))
    const nextChunk = this.#firstUnwritten()
    this.#progress.bytesDone = spanBytes(this.#geometry, 0, nextChunk)
    const progress = this.#progressNow()
    return nextChunk === this.#geometry.chunkCount
      ? { state: 'done', progress }
      : { state: 'more', nextChunk, progress }
  }

  /** Every chunk below it is written. The next slice writes again those above it that are written already. */
  #firstUnwritten(): number {
    let chunk = this.#plannedEnd
    for (const { first } of this.#unwritten) chunk = Math.min(chunk, first)
    return chunk
  }

  /**
   * At the end of the slice, the fetched data is written, so that each slice makes progress. When the caller wants to stop, it is
   * dropped.
   */
  async #restorePages(gate: ByteGate, mostBytes: number): Promise<void> {
    const underWay = new Map<number, Promise<void>>()
    let begun = Math.floor(this.#begin / this.#geometry.pageChunks)
    let done = begun
    try {
      for (;;) {
        while (underWay.size < PAGES_AHEAD && this.#mayBegin()) {
          const restoring = this.#restorePage(begun, gate, mostBytes)
          restoring.catch(() => {})
          underWay.set(begun++, restoring)
        }
        const oldest = underWay.get(done)
        if (oldest === undefined) return
        await oldest
        underWay.delete(done++)
      }
    } catch (error) {
      this.#stopper.stop()
      this.#failed.abort(error)
      // Nothing may be written after this call has ended.
      await Promise.allSettled(underWay.values())
      if (!(error instanceof Stopped)) throw error
    }
  }

  #mayBegin(): boolean {
    const first = this.#plannedEnd
    return first < this.#geometry.chunkCount && !this.#stopper.isUrgent && this.#isWanted({ first })
  }

  /** The first part is always wanted: otherwise the next slice could also end without progress. */
  #isWanted(part: Part): boolean {
    return !this.#stopper.isStopping || part.first === this.#begin
  }

  async #restorePage(page: number, gate: ByteGate, mostBytes: number): Promise<void> {
    const { first, end } = pageSpan(this.#geometry, page)
    const from = this.#plannedEnd
    const whole = { first: from }
    this.#unwritten.add(whole)
    this.#plannedEnd = end
    const map = await this.#readMap(page)
    const zeros = this.#zeroRuns(map, first, from, end)
    const fetches = map === undefined ? [] : planFetches(map, first, from, mostBytes)
    for (const part of [...zeros, ...fetches]) this.#unwritten.add(part)
    this.#unwritten.delete(whole)
    const parts = [this.#restoreZeros(zeros), ...fetches.map((fetch) => this.#restoreFetch(fetch, gate))]
    for (const part of parts) part.catch((error: unknown) => this.#failed.abort(error))
    // Not Promise.all: parts that still run would write after it rejects.
    await Promise.allSettled(parts)
    this.#failed.signal.throwIfAborted()
  }

  async #readMap(page: number): Promise<LocationTable | undefined> {
    const location = this.#pages.get(page)
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
      if (!this.#isWanted(fetch)) return
      const location = fetch.blobs.get(0)
      if (location === undefined) throw new Error('an empty fetch was planned')
      const part = await this.#read(fetch, location)
      this.#checkGoing()
      if (part === undefined) return
      const fetched = { where: this.#blobs.where(location), blobs: fetch.blobs.encode(), targets: fetch.targets }
      const written = await this.#lane().write({ ...part, ...fetched }, () => this.#taken(part.bytes))
      this.#progress.bytesWritten += written
      this.#checkGoing() // otherwise the lane may have stopped in the middle of it
      this.#done(fetch, written)
    } finally {
      gate.leave(share)
    }
  }

  /** undefined: the slice ended before its turn came. For the first part, only the caller's wish to stop ends the wait (`isWanted`). */
  async #read(fetch: Fetch, location: BlobLocation): Promise<PackPart | undefined> {
    const begin = () => this.#blobs.readPart('chunk', location, fetch.offset, fetch.lengthBytes)
    const { pacer } = this.#deps
    if (pacer === undefined) return await begin()
    const { urgent, stopping } = this.#stopper
    const until = fetch.first === this.#begin ? urgent : stopping
    return await pacer.turn(begin, AbortSignal.any([until, this.#failed.signal]))
  }

  /** Runs of chunks that are zero, each no longer than may be written without checking the time. */
  #zeroRuns(map: LocationTable | undefined, first: number, from: number, end: number): ZeroRun[] {
    const mostChunks = Math.max(1, Math.floor(ZERO_RUN_BYTES / this.#geometry.chunkBytes))
    const runs: ZeroRun[] = []
    for (let chunk = from; chunk < end; ) {
      let next = chunk
      while (next < end && next - chunk < mostChunks && (map === undefined || map.isEmpty(next - first))) next++
      if (next > chunk) runs.push({ first: chunk, end: next })
      chunk = Math.max(next, chunk + 1)
    }
    return runs
  }

  /** Nothing to do on a disk that reads as zeros; otherwise the zeros are written. */
  async #restoreZeros(runs: ZeroRun[]): Promise<void> {
    for (const run of runs) {
      const lengthBytes = spanBytes(this.#geometry, run.first, run.end)
      if (!this.#request.targetIsZeroed) {
        this.#checkGoing()
        if (!this.#isWanted(run)) return
        await this.#lane().writeZeros(run.first * this.#geometry.chunkBytes, lengthBytes)
        this.#checkGoing()
        this.#progress.bytesWritten += lengthBytes
      }
      this.#done(run, lengthBytes)
    }
  }

  #taken(bytes: Uint8Array): void {
    if (this.#deps.recycle === undefined) countFreed(bytes.length)
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

  #done(part: Part, bytes: number): void {
    this.#unwritten.delete(part)
    this.#progress.bytesDone += bytes
    this.#report()
  }

  #progressNow(): DownloadProgress {
    return { ...this.#progress, bytesReceived: this.#blobs.bytesReceived }
  }
}
