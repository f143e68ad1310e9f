// The state of an upload: which chunks to read, which pages are finished, and which chunks are new. Everything in it is durable in the
// store, so that a checkpoint of it is correct at any moment.

import type { UploadProgress } from '#shared/ports/mover.ts'
import { NewChunks } from '#shared/repository/core/new-chunks.ts'
import { Bitmap } from '#shared/repository/format/bitmap.ts'
import type { Checkpoint } from '#shared/repository/format/checkpoint.ts'
import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import type { RootHealed } from '#shared/repository/format/root.ts'
import { type BlockProgress, encodeProgress } from './block-checkpoint.ts'
import type { UploadMode } from './block-source.ts'
import { chunkLength, type Geometry, pageSpan, spanBytes } from './geometry.ts'

const MOST_SPARE_TABLES = 64

/** A page that was begun. `map` holds the parent's entry wherever `todo` is set. */
export type OpenPage = {
  page: number
  first: number
  todo: Bitmap
  left: number
  map: LocationTable
  /**
   * In this slice: entries of `map` that an unfinished backup has stored, and where the whole page is stored, if that backup stored it.
   */
  unfinished?: { slots: Bitmap; stored: BlobLocation | undefined } | undefined
}

/** The backup whose map this one starts from. `key`: its root's key. */
export type ParentBackup = { key: string; capacityBytes: number; pages: LocationTable }

type Beginning = Pick<Checkpoint, 'finished' | 'pages' | 'stats' | 'parent' | 'unusable' | 'healed'> &
  Pick<BlockProgress, 'mode' | 'plannedPages' | 'plan'>

export class UploadState {
  readonly geometry: Geometry
  readonly plan: Bitmap
  readonly finished: Bitmap
  /** Final where `finished` is set, otherwise the parent's page or nothing. */
  readonly pages: LocationTable
  readonly open = new Map<number, OpenPage>()
  readonly newChunks: NewChunks
  readonly stats: UploadProgress
  readonly parent: string | undefined
  mode: UploadMode
  plannedPages: number
  /** See `Checkpoint`. */
  unusable: ReadonlySet<string>
  healed: RootHealed | undefined
  /** Tables of finished pages, for reuse: new tables of 128 KiB each would outlive many garbage collections. */
  readonly #spareTables: LocationTable[] = []

  private constructor(geometry: Geometry, from: Beginning) {
    this.geometry = geometry
    this.plan = from.plan
    this.finished = from.finished
    this.pages = from.pages
    this.stats = from.stats
    this.parent = from.parent
    this.mode = from.mode
    this.plannedPages = from.plannedPages
    this.unusable = from.unusable
    this.healed = from.healed
    this.newChunks = new NewChunks()
  }

  static begin(
    geometry: Geometry,
    mode: UploadMode,
    parent: ParentBackup | undefined,
    unusable: ReadonlySet<string>,
  ): UploadState {
    const pages = new LocationTable(geometry.pageCount)
    const shared = Math.min(geometry.pageCount, parent?.pages.length ?? 0)
    for (let page = 0; page < shared; page++) if (parent !== undefined) pages.copy(page, parent.pages, page)
    const finished = new Bitmap(geometry.pageCount)
    if (mode === 'Changed') finished.addRange(0, geometry.pageCount)
    return new UploadState(geometry, {
      mode,
      parent: parent?.key,
      plannedPages: 0,
      plan: new Bitmap(geometry.chunkCount),
      finished,
      pages,
      stats: { totalBytes: 0, bytesDone: 0, bytesRead: 0, bytesSent: 0, bytesStored: 0 },
      unusable,
      healed: undefined,
    })
  }

  static resume(geometry: Geometry, checkpoint: Checkpoint, progress: BlockProgress): UploadState {
    const state = new UploadState(geometry, { ...checkpoint, ...progress })
    for (const [index, { page, map }] of checkpoint.openPages.entries()) {
      const todo = progress.todos[index]
      if (todo === undefined) throw new Error(`open page ${page} has no chunks that wait`)
      state.open.set(page, { page, first: pageSpan(geometry, page).first, todo, left: todo.count(), map })
    }
    for (const segment of checkpoint.segments) state.newChunks.segments.push(segment)
    state.newChunks.addAll(LocationTable.decode(checkpoint.newEntries))
    return state
  }

  /** May be called at any time, because the state contains only what is durable. */
  checkpoint(): Checkpoint {
    const openPages = [...this.open.values()]
    const { mode, plannedPages, plan } = this
    return {
      parent: this.parent,
      stats: this.stats,
      finished: this.finished,
      pages: this.pages,
      openPages,
      ...encodeProgress(this.geometry, { mode, plannedPages, plan, todos: openPages.map(({ todo }) => todo) }),
      segments: this.newChunks.segments,
      newEntries: this.newChunks.encodeUnsegmented(),
      unusable: this.unusable,
      healed: this.healed,
    }
  }

  /** A page starts with the entries in `pages`, and only planned or lost chunks are read. */
  get keepsTheRest(): boolean {
    return this.mode === 'Changed' || this.healed !== undefined
  }

  /** Adds chunks [first, end) to the plan. */
  planChunks(first: number, end: number): void {
    if (first >= end) return
    this.plan.addRange(first, end)
    const { pageChunks } = this.geometry
    for (let page = Math.floor(first / pageChunks); page * pageChunks < end; page++) this.finished.remove(page)
  }

  /** Chunks of these pages that are in lost packs are read from the disk again; all pages were finished before. */
  heal({ packs, pages }: { packs: ReadonlySet<string>; pages: readonly number[] }): void {
    const { packs: packsBefore, pages: pagesBefore } = this.healed ?? { packs: 0, pages: 0 }
    this.healed = { packs: packsBefore + packs.size, pages: pagesBefore + pages.length }
    this.unusable = new Set([...this.unusable, ...packs])
    for (const page of pages) {
      const { first, end } = pageSpan(this.geometry, page)
      for (let chunk = first; chunk < end; chunk++) this.plan.remove(chunk)
      this.finished.remove(page)
    }
  }

  /** Bytes of the planned chunks: the initial value of `totalBytes`. */
  countPlanned(): void {
    this.stats.totalBytes = 0
    for (let page = 0; page < this.geometry.pageCount; page++) {
      const { first, end } = pageSpan(this.geometry, page)
      this.stats.totalBytes += this.#plannedBytes(first, end)
    }
  }

  /** The chunk's entry is final. true: it was the last chunk of its page, and the caller closes the page. */
  settle(page: OpenPage, chunk: number): boolean {
    const slot = chunk - page.first
    if (!page.todo.has(slot)) return false
    page.todo.remove(slot)
    page.left--
    this.stats.bytesDone += chunkLength(this.geometry, chunk)
    return page.left === 0
  }

  pageOf(chunk: number): OpenPage {
    const page = this.open.get(Math.floor(chunk / this.geometry.pageChunks))
    if (page === undefined) throw new Error(`the page of chunk ${chunk} is not open`)
    return page
  }

  /** `location` undefined: the page is all zeros. */
  finishPage(page: number, location: BlobLocation | undefined): void {
    if (location === undefined) this.pages.clear(page)
    else this.pages.set(page, location)
    this.finished.add(page)
    const map = this.open.get(page)?.map
    this.open.delete(page)
    if (map === undefined || this.#spareTables.length >= MOST_SPARE_TABLES) return
    map.reset()
    this.#spareTables.push(map)
  }

  /** An empty table for a page of `length` chunks. */
  newTable(length: number): LocationTable {
    const spare = this.#spareTables.findIndex((table) => table.length === length)
    const [table = new LocationTable(length)] = spare === -1 ? [] : this.#spareTables.splice(spare, 1)
    return table
  }

  nextUnfinished(from: number): number {
    for (let page = from; page < this.geometry.pageCount; page++) if (!this.finished.has(page)) return page
    return -1
  }

  #plannedBytes(first: number, end: number): number {
    const count = this.plan.count(first, end)
    if (count === 0) return 0
    const lastIsShort = end === this.geometry.chunkCount && this.plan.has(end - 1)
    const missing = lastIsShort ? this.geometry.chunkBytes - spanBytes(this.geometry, end - 1, end) : 0
    return count * this.geometry.chunkBytes - missing
  }
}
