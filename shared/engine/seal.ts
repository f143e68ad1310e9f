// The end of an upload: what was written is checked, then the root says that the backup exists.

import { listOf, sealIndexRun } from '#shared/format/index-run.ts'
import { LocationTable } from '#shared/format/location-table.ts'
import { indexKey, packKey, rootKey } from '#shared/format/names.ts'
import { openRoot, type Root, sealRoot } from '#shared/format/root.ts'
import { claimedKind } from '#shared/format/sealed-object.ts'
import { CorruptionError, TerminalError } from '#shared/kernel/errors.ts'
import type { BackupAbout } from '#shared/ports/mover.ts'
import { BlobReader } from './blob-reader.ts'
import type { Checkpoints } from './checkpoints.ts'
import { countGarbage } from './garbage.ts'
import { inParallel } from './in-parallel.ts'
import type { Outbox } from './outbox.ts'
import { PackSet } from './pack-set.ts'
import type { Repository } from './repository.ts'
import type { UploadState } from './upload-state.ts'

const PARALLEL_READS = 8

export type SealContext = {
  repository: Repository
  session: string
  state: UploadState
  checkpoints: Checkpoints
  outbox: Outbox
  about: BackupAbout
  sealedMs: number
}

/** Answers the root that stands: ours, or the one another holder of the same session sealed first. */
export async function sealUpload(context: SealContext): Promise<Root> {
  const { repository, session, state, outbox } = context
  try {
    await verifyStored(context)
  } catch (error) {
    // What the checkpoint takes for stored is not: the next slice must begin anew, or it would end here again.
    if (error instanceof CorruptionError) await context.checkpoints.removeAll()
    throw error
  }
  const { segments } = state.newChunks
  const run = sealIndexRun(repository.keys, session, segments, state.newChunks.encodeUnsegmented())
  await outbox.put(indexKey(session), run)
  await outbox.put(rootKey(session), sealRoot(repository.keys, session, rootOf(context)))
  // Read back in any case: what stands there counts, whoever wrote it.
  const root = await readRoot(repository, session)
  if (root === undefined) throw new CorruptionError('RootMissing', `${where(context)} was written and is not there`)
  return root
}

/** undefined: not sealed. TerminalError `SessionFenced`: given up, it can never be sealed. */
export async function readRoot(repository: Repository, session: string): Promise<Root | undefined> {
  const { store, keys } = repository
  const key = rootKey(session)
  const bytes = await store.get(key)
  if (bytes === undefined) return undefined
  if (claimedKind(bytes) === 'tombstone') {
    throw new TerminalError('SessionFenced', `session ${session} in ${store.location} was given up, begin a new one`)
  }
  return openRoot(keys, session, bytes, `${store.location}/${key}`)
}

/**
 * Every page that this session wrote is read and decoded, and every pack of this session that a page names is listed
 * with room for what it is said to hold. Pages and packs of others were verified by those who wrote them.
 */
async function verifyStored({ repository, session, state }: SealContext): Promise<void> {
  const blobs = new BlobReader(repository)
  const own = new PackSet(session)
  const written = listOf(state.pages).filter(({ pack }) => pack.startsWith(`${session}/`))
  await inParallel(written, PARALLEL_READS, async (location) => {
    own.add(location)
    const raw = await blobs.read('page', location)
    countGarbage(4 * raw.length)
    for (const chunk of listOf(LocationTable.decode(raw))) if (chunk.pack.startsWith(`${session}/`)) own.add(chunk)
  })
  for await (const { key, bytes } of repository.store.list(packKey(`${session}/`))) own.found(key, bytes)
  const missing = own.missing()
  if (missing === undefined) return
  const name = `${repository.store.location}/${packKey(missing)}`
  throw new CorruptionError('PackMissing', `${name} was stored, but is not listed or is too short`)
}

function rootOf({ state, repository, about, sealedMs }: SealContext): Root {
  return {
    version: 1,
    capacityBytes: state.geometry.capacityBytes,
    chunkBytes: repository.config.chunkBytes,
    pageChunks: repository.config.pageChunks,
    about,
    parent: state.parent,
    mode: state.mode,
    stats: { ...state.stats },
    sealedMs,
    pages: state.pages,
  }
}

function where({ repository, session }: SealContext): string {
  return `${repository.store.location}/${rootKey(session)}`
}
