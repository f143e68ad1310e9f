// Keeps what a survey has found as sealed notes in the bucket (`reach/…`). A note that is gone, damaged or too large costs time
// and nothing else: what it would have told is read again.

import { randomBytes } from 'node:crypto'
import { REACH_PREFIX, type ReachNoteKind, reachKey, reachNoteKind } from '#shared/format/names.ts'
import {
  MOST_NOTE_BYTES,
  openPageNotes,
  openRootNotes,
  type PageNote,
  PageNotes,
  type RootNote,
  RootNotes,
} from '#shared/format/reach-notes.ts'
import type { Clock } from '#shared/kernel/clock.ts'
import { CorruptionError } from '#shared/kernel/errors.ts'
import type { StoredObject } from '#shared/ports/object-store.ts'
import type { Repository } from './repository.ts'
import type { Warn } from './warn.ts'

export type ReachNotesOptions = {
  clock: Clock
  /** What was found is written down when it has taken this long to find. */
  everyMs: number
  /** A dry run reads notes and writes none. */
  readOnly: boolean
  warn: Warn
  signal?: AbortSignal | undefined
}

export class ReachNotes {
  readonly #repository: Repository
  readonly #options: ReachNotesOptions
  #pages = new PageNotes()
  #roots = new RootNotes()
  #sinceMs: number
  /** Whether this survey takes long enough for notes: a short one leaves none. */
  #hasWritten = false

  constructor(repository: Repository, options: ReachNotesOptions) {
    this.#repository = repository
    this.#options = options
    this.#sinceMs = options.clock.monotonicMs()
  }

  async list(): Promise<Record<ReachNoteKind, StoredObject[]>> {
    const found: Record<ReachNoteKind, StoredObject[]> = { pages: [], roots: [] }
    for await (const object of this.#repository.store.list(REACH_PREFIX, this.#options.signal)) {
      const kind = reachNoteKind(object.key)
      if (kind !== undefined && object.bytes <= MOST_NOTE_BYTES) found[kind].push(object)
    }
    return found
  }

  async rootsIn({ key }: Pick<StoredObject, 'key'>): Promise<RootNote[]> {
    return (await this.#open(key, openRootNotes)) ?? []
  }

  async pagesIn({ key }: Pick<StoredObject, 'key'>): Promise<{ packs: string[]; pages: PageNote[] }> {
    return (await this.#open(key, openPageNotes)) ?? { packs: [], pages: [] }
  }

  addPage(id: Uint8Array, packs: readonly string[]): void {
    this.#pages.add(id, packs)
  }

  addRoot(note: RootNote): void {
    this.#roots.add(note)
  }

  /** From here on the time counts: what comes before is done anew by each slice. */
  begin(): void {
    this.#sinceMs = this.#options.clock.monotonicMs()
  }

  async writeIfDue(): Promise<void> {
    const isFull = this.#pages.isFull || this.#roots.isFull
    if (isFull || this.#options.clock.monotonicMs() - this.#sinceMs >= this.#options.everyMs) await this.write()
  }

  /** At a survey's end: the rest of what was noted in part. */
  async writeRest(): Promise<void> {
    if (this.#hasWritten) await this.write()
  }

  /**
   * Pages first: a note about a root is believed when all of its pages are noted. Many may call at once; each writes what
   * nobody has taken before. The signal is not heeded: this is what makes the work that was done last.
   */
  async write(): Promise<void> {
    const [pages, roots] = [this.#pages, this.#roots]
    this.#pages = new PageNotes()
    this.#roots = new RootNotes()
    this.#sinceMs = this.#options.clock.monotonicMs()
    if (this.#options.readOnly) return
    const { store, keys } = this.#repository
    const name = randomBytes(8).toString('hex')
    if (pages.size + roots.size > 0) this.#hasWritten = true
    if (pages.size > 0) await store.putIfAbsent(reachKey('pages', name), pages.seal(keys, name))
    if (roots.size > 0) await store.putIfAbsent(reachKey('roots', name), roots.seal(keys, name))
  }

  /** undefined: gone, or not to be trusted. */
  async #open<T>(
    key: string,
    open: (keys: Repository['keys'], key: string, bytes: Uint8Array, where: string) => T,
  ): Promise<T | undefined> {
    const { store, keys } = this.#repository
    const bytes = await store.get(key, this.#options.signal)
    if (bytes === undefined) return undefined
    try {
      return open(keys, key, bytes, `${store.location}/${key}`)
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      this.#options.warn(error.reason, error.message)
      return undefined
    }
  }
}
