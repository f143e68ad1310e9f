// Keeps the lanes busy: scans, judges and stores batch after batch, and enters durable packs into the map.

import type { KnownChunks } from '#shared/repository/core/known-chunks.ts'
import type { Outbox } from '#shared/repository/core/outbox.ts'
import { LocationTable } from '#shared/repository/format/location-table.ts'
import { ID_BYTES } from '#shared/repository/format/version.ts'
import { BatchSource } from './batch-source.ts'
import type { TransferBudget } from './budget.ts'
import type { FullPack, Lane } from './lane.ts'
import { closePage, loadPage, type PageContext } from './upload-pages.ts'
import type { OpenPage } from './upload-state.ts'

/** Batches of a lane in progress: one is read while the other is judged. */
const BATCHES_PER_LANE = 2

type PumpContext = PageContext & {
  lanes: readonly Lane[]
  known: KnownChunks
  outbox: Outbox
  budget: TransferBudget
  isStopping: () => boolean
  /** Nothing more is read, not even the first batch. */
  isUrgent: () => boolean
  /** With a bandwidth limit: waits until more may be read, but no longer than until the transfer stops. */
  turn?: (() => Promise<void>) | undefined
  /** Called whenever something became durable. */
  onDurable: () => void
}

export class UploadPump {
  readonly #context: PumpContext
  /** New chunks that are being stored, by id: other places in the volume that wait for the same chunk. */
  readonly #pending = new Map<string, number[]>()
  readonly #source: BatchSource
  #batches = 0
  #begun = 0

  constructor(context: PumpContext) {
    this.#context = context
    const { state, budget, isStopping, isUrgent, outbox } = context
    this.#source = new BatchSource({
      state,
      batchChunks: budget.batchBytes / state.geometry.chunkBytes,
      mostOpenPages: budget.openPages,
      load: (page) => loadPage(context, page),
      close: (page) => closePage(context, page),
      makeRoom: () => this.flush(),
      isStopping: () => isStopping() || outbox.failure.aborted,
      isUrgent: () => isUrgent() || outbox.failure.aborted,
    })
    for (const lane of context.lanes) lane.onPack = (pack) => this.#send(lane, pack)
  }

  /** Runs until everything is done or the transfer stops; then everything that was begun is finished and durable. */
  async run(): Promise<void> {
    const loops = this.#context.lanes.flatMap((lane) =>
      Array.from({ length: BATCHES_PER_LANE }, () => this.#feed(lane)),
    )
    await this.#orFailure(Promise.all(loops))
    await this.#orFailure(this.flush())
  }

  /** When it resolves, everything that was read is durable, and complete pages are stored. */
  async flush(): Promise<void> {
    const { lanes, metaPacks, outbox } = this.#context
    await this.#orFailure(Promise.all(lanes.map((lane) => lane.flushPack())))
    await outbox.settle()
    metaPacks.sendPack()
    await outbox.settle()
  }

  async #feed(lane: Lane): Promise<void> {
    for (;;) {
      // Waits before anything is read: a feed that waits here holds nothing that the end of a slice would have to wait for. The first
      // batch does not wait: otherwise the next slice could also end without progress.
      if (this.#begun++ > 0) await this.#context.turn?.()
      const chunks = await this.#source.next()
      if (chunks === undefined) return
      const batch = this.#batches++
      const { ids, bytesRead } = await lane.scan(batch, chunks)
      this.#context.state.stats.bytesRead += bytesRead
      await lane.store(batch, this.#judge(chunks, ids))
    }
  }

  /** Positions of the new chunks; all others are settled here or wait for a new one. */
  #judge(chunks: Uint32Array, ids: Uint8Array): Uint32Array {
    const wanted: number[] = []
    for (let position = 0; position * ID_BYTES < ids.length; position++) {
      if (this.#isNew(chunks[position] ?? 0, ids, position * ID_BYTES)) wanted.push(position)
    }
    this.#context.onDurable()
    return Uint32Array.from(wanted)
  }

  #isNew(chunk: number, ids: Uint8Array, at: number): boolean {
    const { state, known } = this.#context
    const page = state.pageOf(chunk)
    const slot = chunk - page.first
    if (isZeroId(ids, at)) {
      page.map.clear(slot)
      this.#settle(page, chunk)
      return false
    }
    if (page.map.hasId(slot, ids, at)) {
      this.#rememberUnfinished(page, slot)
      this.#settle(page, chunk)
      return false
    }
    const location = known.find(ids, at)
    if (location !== undefined) {
      page.map.set(slot, location)
      this.#settle(page, chunk)
      return false
    }
    const name = idName(ids, at)
    const waiting = this.#pending.get(name)
    if (waiting === undefined) this.#pending.set(name, [])
    else waiting.push(chunk)
    return waiting === undefined
  }

  /** As if this session had stored the chunk just now: the same bytes may be elsewhere in the volume. */
  #rememberUnfinished(page: OpenPage, slot: number): void {
    if (page.unfinished?.slots.has(slot) !== true) return
    const location = page.map.get(slot)
    if (location !== undefined) this.#context.known.add(location)
  }

  #send(lane: Lane, pack: FullPack): void {
    this.#context.outbox.send(pack.ref, new Uint8Array(pack.buffer, 0, pack.bytes), () => {
      lane.returnBuffer(pack.buffer)
      this.#enter(pack)
      this.#context.onDurable()
    })
  }

  /** The pack is durable: its chunks are entered into the map. */
  #enter(pack: FullPack): void {
    const { state, known } = this.#context
    const blobs = LocationTable.decode(pack.blobs)
    for (const [index, chunk] of pack.chunks.entries()) {
      const location = blobs.get(index)
      if (location === undefined) throw new Error(`blob ${index} of ${pack.ref} is empty`)
      const name = idName(location.id, 0)
      for (const place of [chunk, ...(this.#pending.get(name) ?? [])]) {
        const page = state.pageOf(place)
        page.map.set(place - page.first, location)
        this.#settle(page, place)
      }
      this.#pending.delete(name)
      known.add(location)
      const full = state.newChunks.add(location)
      if (full !== undefined) this.#storeSegment(full)
    }
  }

  #storeSegment(table: LocationTable): void {
    const { repository, state, metaPacks } = this.#context
    const raw = state.newChunks.encodeSegment(table)
    const id = repository.keys.pageId(raw)
    metaPacks.append('segment', id, raw, (location) => state.newChunks.segmentStored(table, location))
  }

  #settle(page: OpenPage, chunk: number): void {
    if (this.#context.state.settle(page, chunk)) closePage(this.#context, page)
  }

  /** A lane may wait for ever for a buffer that a failed transfer never gives back. */
  async #orFailure(work: Promise<unknown>): Promise<void> {
    const { failure } = this.#context.outbox
    // The work may also fail after the failure that is reported: without this handler, the unhandled rejection would end the whole mover.
    work.catch(() => {})
    failure.throwIfAborted()
    let onAbort = () => {}
    const failed = new Promise<never>((_, reject) => {
      onAbort = () => reject(failure.reason)
      failure.addEventListener('abort', onAbort, { once: true })
    })
    try {
      await Promise.race([work, failed])
    } catch (error) {
      this.#context.outbox.fail(error)
      throw error
    } finally {
      failure.removeEventListener('abort', onAbort)
    }
  }
}

function isZeroId(ids: Uint8Array, at: number): boolean {
  for (let index = at; index < at + ID_BYTES; index++) if (ids[index] !== 0) return false
  return true
}

function idName(ids: Uint8Array, at: number): string {
  return Buffer.from(ids.buffer, ids.byteOffset + at, ID_BYTES).toString('latin1')
}
