// Keeps the findings of a survey as sealed notes in the bucket (`reach/…`). A note that is gone, damaged or too large only costs time:
// what it recorded is read again.

import { randomBytes } from 'node:crypto'
import type { Clock } from '#shared/kernel/clock.ts'
import { CorruptionError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import type { StoredObject } from '#shared/ports/object-store.ts'
import { inParallel } from '#shared/repository/core/in-parallel.ts'
import type { Repository } from '#shared/repository/core/repository.ts'
import type { Warn } from '#shared/repository/core/warn.ts'
import { REACH_PREFIX, type ReachNoteKind, reachKey, reachNoteKind } from '#shared/repository/format/names.ts'
import {
  idBytes,
  MOST_NOTE_BYTES,
  openPageNotes,
  openRootNotes,
  type PageNote,
  PageNotes,
  type RootNote,
  RootNotes,
} from '#shared/repository/format/reach-notes.ts'

/** The most small notes that may exist before they are joined. */
const MOST_SMALL = 32
/** The most notes that one slice joins; the next slice joins the rest. */
const MOST_JOINED = 256
/** The most small and the most large notes of each kind that a slice reads: an attacker who can write to the bucket may plant more. */
const MOST_SMALL_READ = 64
const MOST_LARGE_READ = 256
/** The most small notes of a kind that are kept of a LIST. */
const MOST_SMALL_LISTED = 1024
const PARALLEL_DELETES = 8
const isSmall = ({ bytes }: StoredObject): boolean => bytes < MiB

type ReachNotesOptions = {
  clock: Clock
  /** Findings are written down once they have taken this long to find. */
  everyMs: number
  /** A dry run reads notes and writes none. */
  readOnly: boolean
  warn: Warn
  /** Time is up: no more notes are joined. */
  isOver?: (() => boolean) | undefined
  signal?: AbortSignal | undefined
}

type Sizes = { small: StoredObject[]; large: StoredObject[] }

export class ReachNotes {
  readonly #repository: Repository
  readonly #options: ReachNotesOptions
  #pages = new PageNotes()
  #roots = new RootNotes()
  #sinceMs: number
  readonly #unreadable = new Set<string>()
  /** A short survey leaves no notes. If there are notes already, new findings are added to them. */
  #isLong = false

  constructor(repository: Repository, options: ReachNotesOptions) {
    this.#repository = repository
    this.#options = options
    this.#sinceMs = options.clock.monotonicMs()
  }

  /** As many notes as one slice reads. */
  async list(): Promise<Record<ReachNoteKind, StoredObject[]>> {
    const { pages, roots } = await this.#listed()
    const some = ({ small, large }: Sizes) => [...large, ...small.slice(0, MOST_SMALL_READ)]
    return { pages: some(pages), roots: some(roots) }
  }

  async #listed(): Promise<Record<ReachNoteKind, Sizes>> {
    const found: Record<ReachNoteKind, Sizes> = { pages: { small: [], large: [] }, roots: { small: [], large: [] } }
    for await (const object of this.#repository.store.list(REACH_PREFIX, this.#options.signal)) {
      const kind = reachNoteKind(object.key)
      if (kind === undefined) continue
      this.#isLong = true
      if (object.bytes > MOST_NOTE_BYTES) continue
      const [same, most] = isSmall(object)
        ? [found[kind].small, MOST_SMALL_LISTED]
        : [found[kind].large, MOST_LARGE_READ]
      if (same.length < most) same.push(object)
    }
    return found
  }

  /** Like `list`. Each slice leaves some small notes, and each slice reads all of them: when there are many, they are joined into one. */
  async listJoined(): Promise<Record<ReachNoteKind, StoredObject[]>> {
    const { pages, roots } = await this.#listed()
    if (!this.#options.readOnly && pages.small.length + roots.small.length > MOST_SMALL) {
      const gone = await this.#takeOver({ pages: pages.small, roots: roots.small })
      await inParallel(gone, PARALLEL_DELETES, async ({ key }) => {
        if (!this.#unreadable.has(key)) await this.#repository.store.delete(key)
      })
    }
    return await this.list()
  }

  /** Returns notes whose content is now durable in others, as many as time allows. Content that two notes share is written once. */
  async #takeOver(small: Record<ReachNoteKind, StoredObject[]>): Promise<StoredObject[]> {
    const told = new Set<string>()
    const isNew = (what: string) => told.size < told.add(what).size
    const taken: StoredObject[] = []
    for (const object of small.pages) {
      if (this.#isEnough(taken)) break
      taken.push(object)
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
      if (this.#isEnough(taken)) break
      taken.push(object)
      for (const note of await this.rootsIn(object)) if (isNew(`${note.session} ${note.digest}`)) this.addRoot(note)
      await this.#writeIfFull()
    }
    await this.write()
    return taken
  }

  /** A few notes are always joined: however little time a slice has, fewer notes are left after it. */
  #isEnough({ length }: readonly StoredObject[]): boolean {
    return length >= MOST_JOINED || (length >= MOST_SMALL && this.#options.isOver?.() === true)
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

  /** Starts the time that counts for `everyMs`: earlier work is repeated by each slice in any case. */
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

  /** At the end of a survey: writes the rest, if a part was written or notes existed before. */
  async writeRest(): Promise<void> {
    if (this.#isLong) await this.write()
  }

  /**
   * Writes pages first, because a note about a root is trusted only when all its pages are noted. Many callers may call this at once;
   * each writes what no other call has taken. It ignores the signal, because the notes are what preserves the work that was done.
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

  /**
   * undefined: the note is gone, or is not to be trusted. An untrusted note is deleted at once: no process with these keys can read it,
   * and each slice would try again.
   */
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
      if (!this.#options.readOnly) await store.delete(key)
      this.#unreadable.add(key)
      return undefined
    }
  }
}
