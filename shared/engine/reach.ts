// What the backups of a repository name: every root is opened, every page of its map read. Anything that cannot be read
// ends it with a CorruptionError, as nobody knows what it names.

import { listOf, openIndexRun } from '#shared/format/index-run.ts'
import { type BlobLocation, LocationTable } from '#shared/format/location-table.ts'
import { indexKey, packKey, rootKey, sessionInKey } from '#shared/format/names.ts'
import { openRoot, openTombstone, type Root } from '#shared/format/root.ts'
import { claimedKind } from '#shared/format/sealed-object.ts'
import { CorruptionError } from '#shared/kernel/errors.ts'
import { BlobReader } from './blob-reader.ts'
import { countGarbage } from './garbage.ts'
import { inParallel } from './in-parallel.ts'
import type { Repository } from './repository.ts'
import type { Warn } from './warn.ts'

const PARALLEL_READS = 8

export class Reach {
  /** `<session>/<16 hex>` of every pack that some root named when it was looked at. It only grows. */
  readonly packs = new Set<string>()
  /** Sessions that were given up, and why. */
  readonly tombstones = new Map<string, string>()
  /** Sessions whose root was opened. */
  readonly sealed = new Set<string>()
  /** Sessions at whose root's key something stood at the last look: they have ended. */
  ended: ReadonlySet<string> = new Set()
  readonly #repository: Repository
  readonly #blobs: BlobReader
  readonly #warn: Warn
  readonly #signal: AbortSignal | undefined
  readonly #pages = new Set<string>()

  constructor(repository: Repository, warn: Warn, signal?: AbortSignal) {
    this.#repository = repository
    this.#blobs = new BlobReader(repository, signal)
    this.#warn = warn
    this.#signal = signal
  }

  /** LISTs the roots and opens those that it has not seen. `listed`: packs known to exist; others are asked for. */
  async look(listed: { has(pack: string): boolean }): Promise<void> {
    const ended = await this.#listRoots()
    for (const session of ended) {
      if (this.sealed.has(session) || this.tombstones.has(session)) continue
      if (!(await this.#visit(session, listed))) ended.delete(session)
    }
    this.ended = ended
  }

  async #listRoots(): Promise<Set<string>> {
    const { store } = this.#repository
    const sessions = new Set<string>()
    for await (const { key } of store.list(rootKey(''), this.#signal)) {
      const session = sessionInKey(key)
      // Who knows what it is and what it names?
      if (session === undefined || rootKey(session) !== key) {
        throw new CorruptionError('RootCorrupt', `${store.location}/${key} is not named like a root: move it elsewhere`)
      }
      sessions.add(session)
    }
    return sessions
  }

  /** false: it is gone meanwhile. */
  async #visit(session: string, listed: { has(pack: string): boolean }): Promise<boolean> {
    const { store, keys } = this.#repository
    const key = rootKey(session)
    const where = `${store.location}/${key}`
    const bytes = await store.get(key, this.#signal)
    if (bytes === undefined) return false
    if (claimedKind(bytes) === 'tombstone') {
      this.tombstones.set(session, openTombstone(keys, session, bytes, where).why)
      return true
    }
    const root = openRoot(keys, session, bytes, where)
    try {
      await this.#walk(session, root, listed)
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      // Forgotten while it was walked, and collected by someone else? Then nothing is wrong.
      const standing = await store.get(key, this.#signal)
      if (standing !== undefined && claimedKind(standing) !== 'tombstone') throw error
      this.#pages.clear() // another root may name pages that were read and not taken in
      return false
    }
    this.sealed.add(session)
    return true
  }

  async #walk(session: string, root: Root, listed: { has(pack: string): boolean }): Promise<void> {
    const named = new Set<string>()
    await inParallel(listOf(root.pages), PARALLEL_READS, async (page) => {
      named.add(page.pack)
      const name = `${page.pack}:${page.offset}`
      // Backups share pages: one that was read names nothing new.
      if (this.#pages.has(name)) return
      for (const pack of await this.#packsOf(page)) named.add(pack)
      this.#pages.add(name)
    })
    await inParallel(
      [...named].filter((pack) => !listed.has(pack)),
      PARALLEL_READS,
      (pack) => this.#require(session, pack),
    )
    for (const pack of named) this.packs.add(pack)
    await this.#addSegments(session)
  }

  async #packsOf(page: BlobLocation): Promise<readonly string[]> {
    const raw = await this.#blobs.read('page', page)
    countGarbage(2 * raw.length)
    try {
      return LocationTable.decode(raw).packs
    } catch (error) {
      throw new CorruptionError('PageCorrupt', `page in ${this.#blobs.where(page)} makes no sense`, { cause: error })
    }
  }

  /** Not in the LIST, maybe as it is newer. A store whose LIST leaves something out must not be pruned. */
  async #require(session: string, pack: string): Promise<void> {
    const { store } = this.#repository
    if ((await store.getRange(packKey(pack), 0, 1, this.#signal)) !== undefined) return
    throw new CorruptionError(
      'PackMissing',
      `${store.location}/${packKey(pack)} is gone, and ${rootKey(session)} names it`,
    )
  }

  /** A standing backup's index run lies partly in packs. It is only a help: a damaged one costs space, no backup. */
  async #addSegments(session: string): Promise<void> {
    const { store, keys } = this.#repository
    const key = indexKey(session)
    const bytes = await store.get(key, this.#signal)
    if (bytes === undefined) return
    try {
      const { segments } = openIndexRun(keys, session, bytes, `${store.location}/${key}`)
      for (const { pack } of segments) this.packs.add(pack)
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      this.#warn(error.reason, error.message)
    }
  }
}
