// Keeps what a survey has found as sealed notes in the bucket (`reach/…`). A note that is gone, damaged or too large costs time
// and nothing else: what it would have told is read again.

import { randomBytes } from 'node:crypto'
import { REACH_PREFIX, type ReachNoteKind, reachKey, reachNoteKind } from '#shared/format/names.ts'
import {
  idBytes,
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
import { MiB } from '#shared/kernel/units.ts'
import type { StoredObject } from '#shared/ports/object-store.ts'
import type { Repository } from './repository.ts'
import type { Warn } from './warn.ts'

/** So many small notes may lie there before they are joined. */
const MOST_SMALL = 32
const isSmall = ({ bytes }: StoredObject): boolean => bytes < MiB

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
  /** A survey that is short leaves no notes. Where there are some, what is new goes into them too. */
  #isLong = false

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
      this.#isLong ||= kind !== undefined
    }
    return found
  }

  /** As list. Each slice leaves some small notes, and each reads all of them: when there are many, they are made one. */
  async listJoined(): Promise<Record<ReachNoteKind, StoredObject[]>> {
    const listed = await this.list()
    const small = { pages: listed.pages.filter(isSmall), roots: listed.roots.filter(isSmall) }
    const all = [...small.pages, ...small.roots]
    if (this.#options.readOnly || all.length <= MOST_SMALL) return listed
    for (const { key } of await this.#takeOver(small)) await this.#repository.store.delete(key)
    return await this.list()
  }

  /** Notes whose content is durable in others now. What two notes tell is told once. */
  async #takeOver(small: Record<ReachNoteKind, StoredObject[]>): Promise<StoredObject[]> {
    const told = new Set<string>()
    const isNew = (what: string) => told.size < told.add(what).size
    for (const object of small.pages) {
      const { packs, pages } = await this.pagesIn(object)
      for (const { id, packs: named } of pages) {
        if (isNew(id))
          this.addPage(
            idBytes(id),
            Array.from(named, (number) => packs[number] ?? ''),
          )
      }
      await this.#writeIfFull()
    }
    for (const object of small.roots) {
      for (const note of await this.rootsIn(object)) if (isNew(`${note.session} ${note.digest}`)) this.addRoot(note)
      await this.#writeIfFull()
    }
    await this.write()
    return [...small.pages, ...small.roots]
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

  async #writeIfFull(): Promise<void> {
    if (this.#pages.isFull || this.#roots.isFull) await this.write()
  }

  async writeIfDue(): Promise<void> {
    await this.#writeIfFull()
    if (this.#options.clock.monotonicMs() - this.#sinceMs >= this.#options.everyMs) await this.write()
  }

  /** At a survey's end: the rest of what was noted in part. */
  async writeRest(): Promise<void> {
    if (this.#isLong) await this.write()
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
    if (pages.size + roots.size > 0) this.#isLong = true
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
