// Makes a lost root again from the copy in its session's packs, once everything that it names is there.

import { CorruptionError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { StoredObject } from '#shared/ports/object-store.ts'
import { BlobReader } from '#shared/repository/core/blob-reader.ts'
import { readPageMap } from '#shared/repository/core/page-map.ts'
import { putOnce } from '#shared/repository/core/put-once.ts'
import type { Repository } from '#shared/repository/core/repository.ts'
import { readRetireLists } from '#shared/repository/core/retired.ts'
import { readRoot } from '#shared/repository/core/seal.ts'
import { verifyStored } from '#shared/repository/core/verify-stored.ts'
import type { Warn } from '#shared/repository/core/warn.ts'
import type { BlobLocation } from '#shared/repository/format/location-table.ts'
import { openDoomList, openRetireList, openWaitList, sealSession } from '#shared/repository/format/markers.ts'
import {
  doomKey,
  isPackRef,
  packKey,
  parseSession,
  retireKey,
  rootKey,
  sessionKey,
  waitsKey,
} from '#shared/repository/format/names.ts'
import {
  footerBytes,
  MOST_PACK_BYTES,
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  PackReader,
} from '#shared/repository/format/pack.ts'
import { type Root, sealRoot } from '#shared/repository/format/root.ts'
import { decodeRootCopy } from '#shared/repository/format/root-copy.ts'

type RebuildOptions = { nowMs: number; warn?: Warn | undefined }

/** `stood`: a root was already there and was left unchanged. */
type Rebuilt = { key: string; root: Root; stood: boolean }

/**
 * Idempotent. TerminalErrors: `SessionInvalid`; `SessionFenced`: the backup was deleted or given up, and stays so;
 * `RepositoryVersionUnknown`. CorruptionErrors: `RootCorrupt`: the object at the root's key does not open, and must be moved away first;
 * `RootMissing`: there is no copy whose packs all exist; `RetireListCorrupt`: it is unknown what a prune is about to delete.
 * RetryableError `PackRetired`: a prune may be about to delete packs that the backup names.
 */
export async function rebuildRoot(
  repository: Repository,
  session: string,
  { nowMs, warn = () => {} }: RebuildOptions,
): Promise<Rebuilt> {
  if (parseSession(session) === undefined) {
    throw new TerminalError('SessionInvalid', `${JSON.stringify(session)} is no session id`)
  }
  const key = rootKey(session)
  const standing = await readRoot(repository, session)
  if (standing !== undefined) return { key, root: standing, stood: true }
  const { store, keys } = repository
  // Whether the marker was there before proves nothing: an earlier attempt that failed may have written it. From now on each list of a
  // prune that begins waits for the session.
  await putOnce(store, sessionKey(session), sealSession(keys, session, nowMs))
  const retired = await readRetireLists(repository)
  for await (const root of copiesOf(repository, session, warn)) {
    if (!(await isWhole(repository, session, root, warn))) continue
    await refuseRetired(repository, session, root, retired)
    await putOnce(store, key, sealRoot(keys, session, root))
    const made = await readRoot(repository, session)
    if (made === undefined)
      throw new CorruptionError('RootMissing', `${store.location}/${key} was written and is not there`)
    return { key, root: made, stood: false }
  }
  throw new CorruptionError(
    'RootMissing',
    `${store.location}/${key}: below packs/${session}/ there is no copy of it all of whose packs are there`,
  )
}

async function isWhole(repository: Repository, session: string, { pages }: Root, warn: Warn): Promise<boolean> {
  try {
    const lost = await verifyStored(repository, session, pages)
    const [pack] = lost?.packs ?? []
    if (pack !== undefined) warn('PackMissing', `${repository.store.location}/${packKey(pack)} is gone or too short`)
    if (lost?.unreadable !== undefined) warn(lost.unreadable.reason, lost.unreadable.message)
    return lost === undefined
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error
    warn(error.reason, error.message)
    return false
  }
}

/**
 * The marker stays: a prune that has not recorded yet for whom it waits finds it, and the next attempt may succeed. Removing it could
 * also harm another process that makes the same root.
 */
async function refuseRetired(repository: Repository, session: string, root: Root, retired: RetireLists): Promise<void> {
  if (retired.size === 0) return
  const named = await packsOf(repository, root)
  for (const [generation, packs] of retired) {
    const inList = named.filter((pack) => packs.has(pack))
    const pack = inList.length === 0 ? undefined : await inDanger(repository, session, generation, inList)
    if (pack === undefined) continue
    throw new RetryableError(
      'PackRetired',
      `${repository.store.location}/${packKey(pack)} may be about to be deleted, and the lost backup names it: try again after the next prune`,
    )
  }
}

type RetireLists = ReadonlyMap<string, ReadonlySet<string>>

async function packsOf(repository: Repository, { pages }: Root): Promise<string[]> {
  const blobs = new BlobReader(repository)
  const named = new Set<string>()
  for (let page = 0; page < pages.length; page++) {
    const location = pages.get(page)
    if (location === undefined) continue
    for (const pack of [location.pack, ...(await readPageMap(blobs, location)).packs]) named.add(pack)
  }
  return [...named]
}

/**
 * One of the packs, all of which are in the retire list, that the list's prune may delete; undefined: it deletes none of them. If the
 * prune has recorded that it waits for this session and has not decided what to delete, it decides only after it has seen the root. The
 * record is read before the decision, and the retire list last, because it is removed before both.
 */
async function inDanger(
  repository: Repository,
  session: string,
  generation: string,
  packs: readonly string[],
): Promise<string | undefined> {
  const waits = await readList(repository, waitsKey(generation), generation, openWaitList)
  const doomed = await readList(repository, doomKey(generation), generation, openDoomList)
  const isOpen = (await readList(repository, retireKey(generation), generation, openRetireList)) !== undefined
  // The prune has ended since the list was read: the packs may be gone.
  if (!isOpen) return packs[0]
  if (doomed !== undefined) return packs.find((pack) => doomed.includes(pack))
  return waits?.includes(session) === true ? undefined : packs[0]
}

type Opener = (keys: Repository['keys'], generation: string, bytes: Uint8Array, where: string) => string[]

async function readList(
  { store, keys }: Repository,
  key: string,
  generation: string,
  open: Opener,
): Promise<string[] | undefined> {
  const bytes = await store.get(key)
  return bytes && open(keys, generation, bytes, `${store.location}/${key}`)
}

/**
 * The smallest packs first, because a copy lies in a pack of its own. A copy that does not open, or is of another session, only causes a
 * warning.
 */
async function* copiesOf(repository: Repository, session: string, warn: Warn): AsyncGenerator<Root> {
  const { store } = repository
  const packs: StoredObject[] = []
  for await (const object of store.list(packKey(`${session}/`))) {
    if (isPackRef(object.key.slice(packKey('').length))) packs.push(object)
  }
  packs.sort((a, b) => a.bytes - b.bytes)
  const blobs = new BlobReader(repository)
  for (const pack of packs) {
    try {
      for (const location of await copiesIn(repository, pack)) {
        yield decodeRootCopy(await blobs.read('root', location), session, `${store.location}/${pack.key}`)
      }
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      warn(error.reason, error.message)
    }
  }
}

/** Where a pack holds copies of roots, according to its footer. */
async function copiesIn({ store, keys }: Repository, { key, bytes }: StoredObject): Promise<BlobLocation[]> {
  // Anybody who can write to the bucket can say in a trailer how long the footer is.
  if (bytes > MOST_PACK_BYTES)
    throw new CorruptionError(
      'PackCorrupt',
      `pack ${store.location}/${key}: its ${bytes} bytes are more than any pack has`,
    )
  const trailerAt = Math.max(0, bytes - PACK_TRAILER_BYTES)
  const [header, trailer] = await Promise.all([
    store.getRange(key, 0, PACK_HEADER_BYTES),
    store.getRange(key, trailerAt, PACK_TRAILER_BYTES),
  ])
  if (header === undefined || trailer === undefined) return []
  const footerAt = Math.max(0, trailerAt - footerBytes(trailer))
  const tail = (await store.getRange(key, footerAt, bytes - footerAt)) ?? trailer
  const ref = key.slice(packKey('').length)
  const entries = new PackReader(keys, header, `${store.location}/${key}`).footer(tail, bytes)
  return entries.filter(({ kind }) => kind === 'root').map(({ blob }) => ({ ...blob, pack: ref }))
}
