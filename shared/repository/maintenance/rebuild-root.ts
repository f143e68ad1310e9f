// Makes a lost root again from the copy in its session's packs, once everything that it names is there.

import { CorruptionError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { StoredObject } from '#shared/ports/object-store.ts'
import { BlobReader } from '#shared/repository/core/blob-reader.ts'
import { readPageMap } from '#shared/repository/core/page-map.ts'
import { putOnce } from '#shared/repository/core/put-once.ts'
import type { Repository } from '#shared/repository/core/repository.ts'
import { readRetiredPacks } from '#shared/repository/core/retired.ts'
import { readRoot } from '#shared/repository/core/seal.ts'
import { verifyStored } from '#shared/repository/core/verify-stored.ts'
import type { Warn } from '#shared/repository/core/warn.ts'
import type { BlobLocation } from '#shared/repository/format/location-table.ts'
import { sealSession } from '#shared/repository/format/markers.ts'
import { isPackRef, packKey, parseSession, rootKey, sessionKey } from '#shared/repository/format/names.ts'
import { footerBytes, PACK_HEADER_BYTES, PACK_TRAILER_BYTES, PackReader } from '#shared/repository/format/pack.ts'
import { type Root, sealRoot } from '#shared/repository/format/root.ts'
import { decodeRootCopy } from '#shared/repository/format/root-copy.ts'

type RebuildOptions = { nowMs: number; warn?: Warn | undefined }

/** `stood`: a root was already there and was left unchanged. */
type Rebuilt = { key: string; root: Root; stood: boolean }

/**
 * Idempotent. TerminalErrors: `SessionInvalid`; `SessionFenced`: the backup was deleted or given up, and stays so;
 * `RepositoryVersionUnknown`. CorruptionErrors: `RootCorrupt`: the object at the root's key does not open, and must be moved away first;
 * `RootMissing`: there is no copy whose packs all exist. RetryableError `PackRetired`: a prune is about to delete packs that the backup
 * names.
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
  const retired = await retiredFor(repository, session, nowMs)
  const { store, keys } = repository
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

/**
 * The packs that a prune may delete although this session comes back. If the session's marker existed the whole time, each prune since
 * the root was lost has waited for the session, and deletes nothing that it names.
 */
async function retiredFor(repository: Repository, session: string, nowMs: number): Promise<ReadonlySet<string>> {
  const { store, keys } = repository
  const wasLost = (await putOnce(store, sessionKey(session), sealSession(keys, session, nowMs))) === 'ours'
  return wasLost ? await readRetiredPacks(repository) : new Set()
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

/** Removes the marker again: it is possible that no prune waited for it, and the next attempt must check as well. */
async function refuseRetired(
  repository: Repository,
  session: string,
  { pages }: Root,
  retired: ReadonlySet<string>,
): Promise<void> {
  if (retired.size === 0) return
  const blobs = new BlobReader(repository)
  for (let page = 0; page < pages.length; page++) {
    const location = pages.get(page)
    if (location === undefined) continue
    const named = [location.pack, ...(await readPageMap(blobs, location)).packs]
    const pack = named.find((each) => retired.has(each))
    if (pack === undefined) continue
    await repository.store.delete(sessionKey(session))
    throw new RetryableError(
      'PackRetired',
      `${repository.store.location}/${packKey(pack)} is about to be deleted, and the lost backup names it: try again after the next prune`,
    )
  }
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
