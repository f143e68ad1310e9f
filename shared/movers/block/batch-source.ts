// Deals out the waiting chunks in batches, page after page, and opens pages a little ahead of their turn.

import type { OpenPage, UploadState } from './upload-state.ts'

const PAGES_AHEAD = 4

type BatchSourceOptions = {
  state: UploadState
  batchChunks: number
  /** The most pages that may be open; `makeRoom` stores the packs that keep pages open. */
  mostOpenPages: number
  load: (page: number) => Promise<OpenPage>
  /** Closes a page that has no chunk to read, or none any more. */
  close: (page: OpenPage) => void
  makeRoom: () => Promise<void>
  isStopping: () => boolean
  /** The transfer must stop at once: no batch is dealt out. Otherwise the first batch is dealt out even when the slice is over. */
  isUrgent: () => boolean
}

export class BatchSource {
  readonly #options: BatchSourceOptions
  readonly #loading = new Map<number, Promise<OpenPage>>()
  /** Pages that were dealt out or closed; those that are still open wait for a pack. */
  readonly #dealt = new Set<number>()
  /** Where the search for the next page to load starts. */
  #ahead = 0
  #page: OpenPage | undefined
  #slot = 0
  #turn: Promise<unknown> = Promise.resolve()
  #isFirstOut = false

  constructor(options: BatchSourceOptions) {
    this.#options = options
  }

  /** Chunks in ascending order; undefined: there are no more, or the transfer must stop. Callers are served one at a time. */
  next(): Promise<Uint32Array | undefined> {
    const answer = this.#turn.then(() => this.#fill())
    this.#turn = answer.catch(() => {})
    return answer
  }

  async #fill(): Promise<Uint32Array | undefined> {
    const { batchChunks, mostOpenPages } = this.#options
    const chunks: number[] = []
    while (chunks.length < batchChunks && !this.#isOver()) {
      // Room comes from pages whose chunks are stored: the chunks in hand must be dealt out first.
      if (this.#page === undefined && chunks.length > 0 && this.#heldOpen() >= mostOpenPages) break
      this.#page ??= await this.#nextPage()
      if (this.#page === undefined) break
      this.#takeFrom(this.#page, chunks)
    }
    // Chunks that were taken but not dealt out stay marked as waiting: stopping here loses nothing.
    if (chunks.length === 0 || this.#isOver()) return undefined
    this.#isFirstOut = true
    return Uint32Array.from(chunks)
  }

  /**
   * The first batch is always dealt out: if the store used up the slice's time with its answers, the next slice would also make no
   * progress.
   */
  #isOver(): boolean {
    return this.#isFirstOut ? this.#options.isStopping() : this.#options.isUrgent()
  }

  #takeFrom(page: OpenPage, chunks: number[]): void {
    while (chunks.length < this.#options.batchChunks) {
      const slot = page.todo.next(this.#slot)
      if (slot === -1) {
        this.#page = undefined
        return
      }
      chunks.push(page.first + slot)
      this.#slot = slot + 1
    }
  }

  async #nextPage(): Promise<OpenPage | undefined> {
    const { mostOpenPages, makeRoom, close } = this.#options
    for (;;) {
      while (this.#heldOpen() >= mostOpenPages && !this.#isOver()) await makeRoom()
      if (this.#isOver()) return undefined
      this.#loadAhead()
      const first = this.#loading.entries().next()
      if (first.done === true) return undefined
      const [number, loading] = first.value
      const page = await loading
      this.#loading.delete(number)
      this.#dealt.add(number)
      if (page.left > 0) {
        this.#slot = 0
        return page
      }
      close(page)
    }
  }

  #heldOpen(): number {
    for (const page of this.#dealt) if (!this.#options.state.open.has(page)) this.#dealt.delete(page)
    return this.#dealt.size
  }

  #loadAhead(): void {
    const { state, load } = this.#options
    while (this.#loading.size < PAGES_AHEAD) {
      const page = state.nextUnfinished(this.#ahead)
      if (page === -1) return
      this.#ahead = page + 1
      const loading = load(page)
      // The failure is handled when the page's turn comes; until then it must not count as unhandled.
      loading.catch(() => {})
      this.#loading.set(page, loading)
    }
  }
}
