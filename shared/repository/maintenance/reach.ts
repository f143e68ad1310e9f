// What the backups of a repository name: it opens every root and reads every page of its map once, except what notes already record.
// Anything that cannot be read ends the look with a CorruptionError, because it is unknown what it names.

import { createHash } from 'node:crypto'
import { CorruptionError } from '#shared/kernel/errors.ts'
import type { StoredObject } from '#shared/ports/object-store.ts'
import { BlobReader } from '#shared/repository/core/blob-reader.ts'
import { countFreed } from '#shared/repository/core/freed-buffers.ts'
import { inParallel } from '#shared/repository/core/in-parallel.ts'
import type { Repository } from '#shared/repository/core/repository.ts'
import type { Warn } from '#shared/repository/core/warn.ts'
import { listOf, openIndexRun } from '#shared/repository/format/index-run.ts'
import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import { indexKey, packKey, rootKey, sessionInKey } from '#shared/repository/format/names.ts'
import { pageId, type RootNote } from '#shared/repository/format/reach-notes.ts'
import { isKnownRoot, openRoot, openTombstone, type Root } from '#shared/repository/format/root.ts'
import { claimedKind } from '#shared/repository/format/sealed-object.ts'
import { type NotedReach, readNotes } from './noted-reach.ts'
import { PackTable } from './pack-table.ts'
import type { ReachNotes } from './reach-notes.ts'

const PARALLEL_READS = 8

type ReachOptions = {
  warn: Warn
  signal?: AbortSignal | undefined
  /** Where findings are kept; without it everything is read. */
  notes?: ReachNotes | undefined
  /** An object that the store wrote before this, by its own time, does not share its time with any later object. */
  settledMs?: number | undefined
  /** Time is up: running reads are finished and noted. It is called only after something was read. */
  isOver?: (() => boolean) | undefined
  /** Called after each page and each root that was read. */
  onRead?: ((progress: SurveyProgress) => void) | undefined
  /** Called when the notes are read: from then on the slice's time counts. */
  onNoted?: (() => void) | undefined
}

export type SurveyProgress = { roots: { done: number; total: number }; pages: { done: number; total: number } }

/** Packs that are known to exist; others are looked up in the store. */
type Listed = { has(pack: string): boolean }
type Seen = Pick<RootNote, 'digest' | 'bytes' | 'modifiedMs'>
/** The result for one root: it was taken in; it is gone; or time was up before all its pages were read. */
type Visit = 'whole' | 'gone' | 'cut'

export class Reach {
  /** `<session>/<16 hex>` of every pack that some root named when it was read. It only grows. */
  readonly packs = new PackTable()
  /** Sessions with a tombstone at their root's key, and its reason. */
  readonly tombstones = new Map<string, string>()
  /** Sessions whose root was opened. */
  readonly sealed = new Set<string>()
  /** Sessions that had an object at their root's key in the last complete look: they have ended. */
  ended: ReadonlySet<string> = new Set()
  readonly progress: SurveyProgress = { roots: { done: 0, total: 0 }, pages: { done: 0, total: 0 } }
  readonly #repository: Repository
  readonly #options: ReachOptions
  readonly #blobs: BlobReader
  readonly #seen = new Map<string, Seen>()
  /** Ids of pages whose packs are in `packs`. Backups share pages: a page that was read names nothing new. */
  readonly #pages = new Set<string>()
  #noted: NotedReach | undefined
  #read = 0

  constructor(repository: Repository, options: ReachOptions) {
    this.#repository = repository
    this.#options = options
    this.#blobs = new BlobReader(repository, options.signal)
  }

  /**
   * LISTs the roots and opens those that it has not seen. false: time was up, and what was found is noted. Nothing may be concluded
   * before a look was complete.
   */
  async look(listed: Listed): Promise<boolean> {
    const found = await this.#listRoots()
    await this.#readNotes(found, listed)
    const todo: StoredObject[] = []
    for (const [session, object] of found) if (!(await this.#isSeen(session, object))) todo.push(object)
    this.progress.roots = { done: found.size - todo.length, total: found.size }
    if (!(await this.#visitAll(found, todo, listed))) return false
    this.ended = new Set(found.keys())
    return true
  }

  /** Note objects, and how much of each is of use; undefined before the first look. */
  get noted(): NotedReach | undefined {
    return this.#noted
  }

  /** Whether a page that was noted belongs to a root that was looked at. */
  hasPage(id: string): boolean {
    return this.#pages.has(id)
  }

  /** Whether the root that was noted is the one that was looked at. */
  hasRoot({ session, digest }: RootNote): boolean {
    return this.#seen.get(session)?.digest === digest
  }

  async #visitAll(found: Map<string, StoredObject>, todo: readonly StoredObject[], listed: Listed): Promise<boolean> {
    const { notes } = this.#options
    try {
      for (const object of todo) {
        const session = sessionInKey(object.key) ?? ''
        const visit = this.#mustStop() ? 'cut' : await this.#visit(session, object, listed)
        if (visit === 'cut') {
          await notes?.write()
          return false
        }
        if (visit === 'gone') found.delete(session)
        this.progress.roots.done++
        this.#options.onRead?.(this.progress)
        await notes?.writeIfDue()
      }
    } catch (error) {
      // A look that is stopped keeps its findings, as far as the store permits.
      const isStopped = this.#options.signal?.aborted === true
      await (isStopped ? notes?.write() : notes?.writeRest())?.catch(() => undefined)
      throw error
    }
    await notes?.writeRest()
    return true
  }

  /** Each slice makes progress, however long its earlier steps took. */
  #mustStop(): boolean {
    return this.#read > 0 && this.#options.isOver?.() === true
  }

  async #listRoots(): Promise<Map<string, StoredObject>> {
    const { store } = this.#repository
    const roots = new Map<string, StoredObject>()
    for await (const object of store.list(rootKey(''), this.#options.signal)) {
      const session = sessionInKey(object.key)
      // It is unknown what this object is and what it names.
      if (session === undefined || rootKey(session) !== object.key) {
        throw new CorruptionError(
          'RootCorrupt',
          `${store.location}/${object.key} is not named like a root: move it elsewhere`,
        )
      }
      roots.set(session, object)
    }
    return roots
  }

  async #readNotes(found: Map<string, StoredObject>, listed: Listed): Promise<void> {
    const { notes, onNoted } = this.#options
    if (this.#noted !== undefined) return
    if (notes === undefined) this.#noted = { roots: [], pages: new Set(), elsewhere: new Map(), objects: [] }
    else this.#noted = await this.#takeNotes(notes, found, listed)
    notes?.begin()
    onNoted?.()
  }

  /**
   * A pack that a note names may be gone because the session that names it was forgotten meanwhile. Then the notes are read again without
   * that session, and the pack is looked up for another session that names it and still exists.
   */
  async #takeNotes(notes: ReachNotes, found: Map<string, StoredObject>, listed: Listed): Promise<NotedReach> {
    const unlisted = new Map<string, string>()
    const stands = async (note: RootNote) => {
      const object = found.get(note.session)
      return object !== undefined && isUsable(note) && (await this.#isSame(note, object))
    }
    const noted = await readNotes(notes, stands, (pack, session) => {
      this.packs.add(pack)
      if (!listed.has(pack)) unlisted.set(pack, session)
    })
    const before = found.size
    await inParallel([...unlisted], PARALLEL_READS, async ([pack, session]) => {
      if ((await this.#unlessGone(session, () => this.#require(session, pack))) === 'gone') found.delete(session)
    })
    if (found.size < before) return await this.#takeNotes(notes, found, listed)
    for (const id of noted.pages) this.#pages.add(id)
    for (const note of noted.roots) this.#takeRoot(note)
    return noted
  }

  #takeRoot({ session, digest, bytes, modifiedMs, why }: RootNote): void {
    this.#seen.set(session, { digest, bytes, modifiedMs })
    this.sealed.delete(session)
    this.tombstones.delete(session)
    if (why === undefined) this.sealed.add(session)
    else this.tombstones.set(session, why)
  }

  async #isSeen(session: string, object: StoredObject): Promise<boolean> {
    const seen = this.#seen.get(session)
    return seen !== undefined && (await this.#isSame(seen, object))
  }

  /**
   * Whether the object that was seen is still at this key. A root can change once: it is forgotten, and then a holder of its session that
   * was believed dead seals it again, with other packs. The store's own time tells, otherwise the bytes do.
   */
  async #isSame(seen: Seen, object: StoredObject): Promise<boolean> {
    if (seen.bytes !== object.bytes) return false
    if (seen.modifiedMs === object.modifiedMs) return true
    const bytes = await this.#repository.store.get(object.key, this.#options.signal)
    return bytes !== undefined && digestOf(bytes) === seen.digest
  }

  async #visit(session: string, object: StoredObject, listed: Listed): Promise<Visit> {
    const { store, keys } = this.#repository
    const where = `${store.location}/${object.key}`
    const bytes = await store.get(object.key, this.#options.signal)
    if (bytes === undefined) return 'gone'
    this.#read++
    const seen = { session, digest: digestOf(bytes), bytes: bytes.length, modifiedMs: this.#settledTime(object, bytes) }
    if (claimedKind(bytes) === 'tombstone') {
      const { why } = openTombstone(keys, session, bytes, where)
      this.#note({ ...seen, why, packs: [], pages: Buffer.alloc(0) })
      return 'whole'
    }
    const root = openRoot(keys, session, bytes, where)
    const named = await this.#unlessGone(session, () => this.#walk(session, root, listed))
    if (typeof named === 'string') return named
    const pages = listOf(root.pages)
    const needs = { version: root.version, requiredFeatures: root.requiredFeatures }
    this.#note({ ...seen, needs, packs: [...named], pages: Buffer.concat(pages.map(({ id }) => id)) })
    return 'whole'
  }

  #note(note: RootNote): void {
    this.#takeRoot(note)
    this.#options.notes?.addRoot(note)
  }

  #settledTime({ modifiedMs, bytes }: StoredObject, read: Uint8Array): number | undefined {
    const { settledMs = Number.POSITIVE_INFINITY } = this.#options
    return modifiedMs < settledMs && bytes === read.length ? modifiedMs : undefined
  }

  /** If the session was forgotten and a prune collected its data during the look, this is not an error. */
  async #unlessGone<T>(session: string, act: () => Promise<T>): Promise<T | 'gone'> {
    try {
      return await act()
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      const standing = await this.#repository.store.get(rootKey(session), this.#options.signal)
      if (standing !== undefined && claimedKind(standing) !== 'tombstone') throw error
      this.#pages.clear() // another root may name pages that were read here, and packs that were not found
      return 'gone'
    }
  }

  /**
   * The packs that hold the root's pages, its copy, and the segments of its index run. What kind of source was backed up does not matter.
   */
  async #walk(session: string, root: Root, listed: Listed): Promise<ReadonlySet<string> | 'cut'> {
    const pages = listOf(root.pages)
    const unlisted = new Set<string>()
    const take = (pack: string) => {
      this.packs.add(pack)
      if (!listed.has(pack)) unlisted.add(pack)
    }
    await this.#takeNotedPages(pages, take)
    const isWhole = await this.#readPages(pages, take)
    const own = new Set(pages.map(({ pack }) => pack))
    for (const pack of own) take(pack)
    // Added without `take`, which would require the pack to exist: a lost copy does not cost a backup.
    own.add(`${session}/${root.copy}`)
    await inParallel([...unlisted], PARALLEL_READS, (pack) => this.#require(session, pack))
    if (!isWhole) return 'cut'
    for (const pack of await this.#segmentsOf(session)) own.add(pack)
    for (const pack of own) this.packs.add(pack)
    return own
  }

  /** Takes noted pages of a root that an earlier slice did not finish, or that a root shares with one that is gone. */
  async #takeNotedPages(pages: readonly BlobLocation[], take: (pack: string) => void): Promise<void> {
    const { notes } = this.#options
    const wanted = new Map<string, string>()
    for (const { id } of pages) {
      const key = this.#noted?.elsewhere.get(pageId(id))
      if (key !== undefined && !this.#pages.has(pageId(id))) wanted.set(pageId(id), key)
    }
    for (const key of new Set(wanted.values())) {
      const note = await notes?.pagesIn({ key })
      const object = this.#noted?.objects.find((noted) => noted.key === key)
      for (const page of note?.pages ?? []) {
        if (wanted.get(page.id) !== key) continue
        if (object !== undefined) object.used++
        for (const number of page.packs) take(note?.packs[number] ?? '')
        this.#pages.add(page.id)
      }
    }
  }

  /** false: time was up. */
  async #readPages(pages: readonly BlobLocation[], take: (pack: string) => void): Promise<boolean> {
    const todo = pages.filter(({ id }) => !this.#pages.has(pageId(id)))
    const progress = { done: pages.length - todo.length, total: pages.length }
    this.progress.pages = progress
    let isWhole = true
    let begun = 0
    await inParallel(todo, PARALLEL_READS, async (page) => {
      if (begun++ >= PARALLEL_READS && this.#options.isOver?.() === true) isWhole = false
      if (!isWhole) return
      const packs = await this.#packsOf(page)
      for (const pack of packs) take(pack)
      this.#pages.add(pageId(page.id))
      this.#read++
      progress.done++
      this.#options.onRead?.(this.progress)
      this.#options.notes?.addPage(page.id, packs)
      await this.#options.notes?.writeIfDue()
    })
    return isWhole
  }

  async #packsOf(page: BlobLocation): Promise<readonly string[]> {
    const raw = await this.#blobs.read('page', page)
    countFreed(2 * raw.length)
    try {
      return LocationTable.decode(raw).packs
    } catch (error) {
      throw new CorruptionError('PageCorrupt', `page in ${this.#blobs.where(page)} makes no sense`, { cause: error })
    }
  }

  /**
   * Looks up a pack that a root names and the LIST does not show, perhaps because the pack is newer. If it is gone, the look ends with a
   * CorruptionError: nothing may be pruned then.
   */
  async #require(session: string, pack: string): Promise<void> {
    const { store } = this.#repository
    if ((await store.getRange(packKey(pack), 0, 1, this.#options.signal)) !== undefined) return
    throw new CorruptionError(
      'PackMissing',
      `${store.location}/${packKey(pack)} is gone, and ${rootKey(session)} names it`,
    )
  }

  /** The index run of an existing backup lies partly in packs. It only helps: a damaged run costs space, and no backup. */
  async #segmentsOf(session: string): Promise<string[]> {
    const { store, keys } = this.#repository
    const key = indexKey(session)
    const bytes = await store.get(key, this.#options.signal)
    if (bytes === undefined) return []
    try {
      return openIndexRun(keys, session, bytes, `${store.location}/${key}`).segments.map(({ pack }) => pack)
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      this.#options.warn(error.reason, error.message)
      return []
    }
  }
}

/** A newer version may have noted a root that this one would refuse. Then the note is left aside, and the root itself is opened. */
function isUsable({ why, needs }: RootNote): boolean {
  return why !== undefined || (needs !== undefined && isKnownRoot(needs.version, needs.requiredFeatures))
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
