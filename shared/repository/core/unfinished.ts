// What other sessions of the same volume stored without ever becoming a backup: their newest checkpoints, page by page. The next backup
// compares its chunks with them, so that an equal chunk is read and hashed but not sent again.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { KiB } from '#shared/kernel/units.ts'
import { type Checkpoint, openCheckpoint } from '#shared/repository/format/checkpoint.ts'
import type { BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import {
  checkpointPrefix,
  indexKey,
  parseCheckpointKey,
  parseSession,
  rootKey,
} from '#shared/repository/format/names.ts'
import { openTombstone } from '#shared/repository/format/root.ts'
import { claimedKind } from '#shared/repository/format/sealed-object.ts'
import type { BlobReader } from './blob-reader.ts'
import { ListedPacks } from './listed-packs.ts'
import { readPageMap } from './page-map.ts'
import type { Repository } from './repository.ts'
import type { Warn } from './warn.ts'

/** Bounds for one slice, however many sessions there are: names listed, checkpoints read, and checkpoints whose pages are used. */
const MOST_NAMES = 10_000
const MOST_TRIED = 16
export const MOST_TAKEN = 4
/** A tombstone has some 150 bytes. For a root, its kind is enough. */
const TOMBSTONE_BYTES = 4 * KiB

/** `stored`: where the page is stored, if it was finished. */
export type UnfinishedPage = { map: LocationTable; stored: BlobLocation | undefined }

type Source = { repository: Repository; blobs: BlobReader; warn: Warn }
type Page = { kind: 'stored'; location: BlobLocation } | { kind: 'begun'; map: LocationTable }

export class Unfinished {
  readonly #source: Source
  readonly #packs: ListedPacks
  readonly #pages = new Map<number, Page>()
  readonly #sessions: string[] = []

  constructor(source: Source) {
    this.#source = source
    this.#packs = new ListedPacks(source.repository.store)
  }

  /** Takes the pages that no earlier call has taken: the newest session comes first. `mostBegun`: the most maps to hold in memory. */
  take(session: string, checkpoint: Checkpoint, mostBegun: number): void {
    this.#sessions.push(session)
    const begun = new Map(checkpoint.openPages.map(({ page, map }) => [page, map]))
    let held = [...this.#pages.values()].filter(({ kind }) => kind === 'begun').length
    for (let page = 0; page < checkpoint.pages.length; page++) {
      if (this.#pages.has(page)) continue
      const map = begun.get(page)
      if (map !== undefined && held < mostBegun) {
        this.#pages.set(page, { kind: 'begun', map })
        held++
        continue
      }
      const location = checkpoint.finished.has(page) ? checkpoint.pages.get(page) : undefined
      if (location !== undefined) this.#pages.set(page, { kind: 'stored', location: { ...location } })
    }
  }

  /** undefined: there is no such page, or it equals the parent's page. Each page can be asked for once. */
  async page(number: number, parent: BlobLocation | undefined): Promise<UnfinishedPage | undefined> {
    const page = this.#pages.get(number)
    if (page === undefined) return undefined
    this.#pages.delete(number)
    if (page.kind === 'begun') return { map: page.map, stored: undefined }
    const { location } = page
    if (parent !== undefined && Buffer.compare(parent.id, location.id) === 0) return undefined
    const isListed = (await this.listed([location.pack])).has(location.pack)
    const map = isListed ? await this.#read(number, location) : undefined
    return map === undefined ? undefined : { map, stored: location }
  }

  /**
   * Those of `packs` that exist. The unfinished sessions are listed before all other sessions that their pages name, because room is
   * bounded.
   */
  async listed(packs: readonly string[]): Promise<ReadonlySet<string>> {
    if (packs.length > 0) for (const session of this.#sessions.splice(0)) await this.#packs.list(session)
    return await this.#packs.among(packs)
  }

  async #read(number: number, location: BlobLocation): Promise<LocationTable | undefined> {
    const { blobs, warn } = this.#source
    try {
      return await readPageMap(blobs, location)
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      warn(
        error.reason,
        `page ${number} of a backup that was not finished is left aside, its chunks are sent anew: ${error.message}`,
      )
      return undefined
    }
  }
}

/**
 * Loads the newest sessions of the volume that `session` belongs to, except `session` itself. Call it only after `retire/` was read: no
 * prune deletes a pack that is listed after that before this session has ended (docs/format).
 */
export async function loadUnfinished(source: Source, session: string, mostBegun: number): Promise<Unfinished> {
  const unfinished = new Unfinished(source)
  let taken = 0
  for await (const { session: other, checkpoint } of checkpointsOf(source, volumeOf(session), session)) {
    unfinished.take(other, checkpoint, mostBegun)
    if (++taken >= MOST_TAKEN) break
  }
  return unfinished
}

const volumeOf = (session: string): string => parseSession(session)?.volumeTag ?? ''

/** `hasEnded`: true: the session was given up; false: it still runs. */
type CheckpointToTake = { session: string; startedMs: number; checkpoint: Checkpoint; hasEnded: boolean }

/** The checkpoints that a backup of the volume may continue from, newest sessions first, up to the bound of checkpoints that are read. */
export async function* checkpointsOf(
  source: Pick<Source, 'repository' | 'warn'>,
  volume: string,
  own?: string,
): AsyncGenerator<CheckpointToTake> {
  for (const { key, session, name, startedMs } of (await newestFirst(source.repository, volume, own)).slice(
    0,
    MOST_TRIED,
  )) {
    const checkpoint = await readCheckpoint(source, key)
    if (checkpoint === undefined) continue
    const end = await endOf(source.repository, session, name)
    if (end !== 'of no use') yield { session, startedMs, checkpoint, hasEnded: end === 'given up' }
  }
}

type Named = { key: string; session: string; name: string; startedMs: number }

/** The newest checkpoint of each session. */
async function newestFirst({ store }: Repository, volume: string, own: string | undefined): Promise<Named[]> {
  const newest = new Map<string, Named>()
  let names = 0
  for await (const { key } of store.list(checkpointPrefix(`${volume}-`))) {
    if (++names > MOST_NAMES) break
    const parts = parseCheckpointKey(key)
    if (parts === undefined || parts.session === own) continue
    newest.set(parts.session, { key, ...parts, startedMs: parseSession(parts.session)?.startedMs ?? 0 })
  }
  return [...newest.values()].sort((a, b) => b.startedMs - a.startedMs)
}

async function readCheckpoint(
  { repository, warn }: Pick<Source, 'repository' | 'warn'>,
  key: string,
): Promise<Checkpoint | undefined> {
  const { store, keys } = repository
  try {
    const bytes = await store.get(key)
    return bytes === undefined ? undefined : openCheckpoint(keys, key, bytes, `${store.location}/${key}`)
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error
    warn(error.reason, error.message)
    return undefined
  }
}

/**
 * Tells whether everything that the checkpoint names was stored before its session ended. If so, what a prune has deleted of it was never
 * put again and does not come back. This holds if the session has not ended yet, or if its tombstone names this very checkpoint. An index
 * run exists from before its root is written until after its tombstone is: without a run, no process is half-way through forgetting the
 * session. So the run is looked up first.
 */
async function endOf(
  repository: Repository,
  session: string,
  name: string,
): Promise<'goes on' | 'given up' | 'of no use'> {
  const { store } = repository
  const hasRun = (await store.getRange(indexKey(session), 0, 1)) !== undefined
  const end = await store.getRange(rootKey(session), 0, TOMBSTONE_BYTES)
  if (end === undefined) return hasRun ? 'of no use' : 'goes on'
  return nameIn(repository, session, end) === name ? 'given up' : 'of no use'
}

/** Name of the checkpoint from which the next backup may continue after this session is given up. */
export async function nameForNext(repository: Repository, session: string): Promise<string | undefined> {
  const { store } = repository
  let newest: string | undefined
  for await (const { key } of store.list(checkpointPrefix(`${session}/`)))
    newest = parseCheckpointKey(key)?.name ?? newest
  const hasRun = newest !== undefined && (await store.getRange(indexKey(session), 0, 1)) !== undefined
  return hasRun ? undefined : newest
}

/** For a session that has ended and whose other checkpoints were removed: whether the kept checkpoint is there. */
export async function hasCheckpoint({ store }: Repository, session: string): Promise<boolean> {
  for await (const { key } of store.list(checkpointPrefix(`${session}/`)))
    if (parseCheckpointKey(key) !== undefined) return true
  return false
}

/** Name of the checkpoint that was kept when the session ended; undefined: none. */
export async function keptName(repository: Repository, session: string): Promise<string | undefined> {
  const end = await repository.store.getRange(rootKey(session), 0, TOMBSTONE_BYTES)
  return end === undefined ? undefined : nameIn(repository, session, end)
}

/** A tombstone that does not open names no checkpoint; prune reports it. */
function nameIn({ store, keys }: Repository, session: string, end: Uint8Array): string | undefined {
  if (claimedKind(end) !== 'tombstone') return undefined
  try {
    return openTombstone(keys, session, end, `${store.location}/${rootKey(session)}`).checkpoint
  } catch (error) {
    if (error instanceof CorruptionError) return undefined
    throw error
  }
}
