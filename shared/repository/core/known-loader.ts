// Fills the table of known chunks from the repository's index runs, newest first, until the table is full.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { openIndexRun } from '#shared/repository/format/index-run.ts'
import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import { indexKey, isPackRef, packKey, parseSession, rootKey, sessionInKey } from '#shared/repository/format/names.ts'
import { claimedKind, SEALED_PREFIX_BYTES } from '#shared/repository/format/sealed-object.ts'
import type { BlobReader } from './blob-reader.ts'
import { inParallel } from './in-parallel.ts'
import { KnownChunks } from './known-chunks.ts'
import type { NewChunks } from './new-chunks.ts'
import { PackSet } from './pack-set.ts'
import type { Repository } from './repository.ts'
import type { Warn } from './warn.ts'

/** The most index runs that are read, however many there are: the start of a slice must not take longer as the repository grows. */
const MOST_RUNS = 256
const PARALLEL_READS = 8
/** Buckets overflow before the table is full. Beyond this fraction, loading more entries would evict newer ones. */
const FILL = 0.75

type KnownSource = {
  repository: Repository
  blobs: BlobReader
  mostEntries: number
  warn: Warn
}

export async function loadKnownChunks(
  source: KnownSource,
  session: string,
  own: { newChunks: NewChunks; unusable: ReadonlySet<string> },
): Promise<KnownChunks> {
  const known = new KnownChunks(source.mostEntries)
  const isUnusable = (pack: string) => own.unusable.has(pack)
  // The chunks that this session stored in earlier slices come first.
  await inParallel(own.newChunks.segments.toReversed(), PARALLEL_READS, (segment) =>
    addSegment(source, known, segment, isUnusable),
  )
  known.addAll(LocationTable.decode(own.newChunks.encodeUnsegmented()), isUnusable)
  const runs = (await runsNewestFirst(source.repository)).filter((run) => run !== session).slice(0, MOST_RUNS)
  await inParallel(runs, PARALLEL_READS, (run) => addRun(source, known, run, isUnusable))
  return known
}

async function runsNewestFirst({ store }: Repository): Promise<string[]> {
  const runs: { session: string; startedMs: number }[] = []
  for await (const { key } of store.list(indexKey(''))) {
    const session = sessionInKey(key)
    if (session !== undefined) runs.push({ session, startedMs: parseSession(session)?.startedMs ?? 0 })
  }
  return runs.sort((a, b) => b.startedMs - a.startedMs).map(({ session }) => session)
}

/**
 * Adds one index run. A run is only a hint, because it may be older than a prune: a session that was given up may have written it late,
 * or it may name packs that its root does not name. So the run counts only if its root exists, and of its packs only those that a LIST
 * shows now, after the retire lists were read: no prune deletes these before this session has ended.
 */
async function addRun(
  source: KnownSource,
  known: KnownChunks,
  session: string,
  isUnusable: (pack: string) => boolean,
): Promise<void> {
  if (isFull(known)) return
  const { store, keys } = source.repository
  const key = indexKey(session)
  const [bytes, isStanding, packs] = await Promise.all([
    store.get(key),
    isSealed(source.repository, session),
    packsOf(source.repository, session, known.mostPacks),
  ])
  if (bytes === undefined || !isStanding) return
  const isLost = (pack: string) => isUnusable(pack) || !packs.has(pack)
  await unlessCorrupt(source.warn, async () => {
    const run = openIndexRun(keys, session, bytes, `${store.location}/${key}`)
    known.addAll(run.rest, isLost)
    for (const segment of run.segments) await addSegment(source, known, segment, isLost)
  })
}

async function isSealed({ store }: Repository, session: string): Promise<boolean> {
  const head = await store.getRange(rootKey(session), 0, SEALED_PREFIX_BYTES)
  return head !== undefined && claimedKind(head) === 'root'
}

/** The listed packs, up to as many as the table can name. Chunks in packs beyond this limit are not reused, which only costs space. */
async function packsOf({ store }: Repository, session: string, most: number): Promise<PackSet> {
  const packs = new PackSet(session)
  for await (const { key, bytes } of store.list(packKey(`${session}/`))) {
    const pack = key.slice(packKey('').length)
    if (!isPackRef(pack)) continue
    packs.add(pack, bytes)
    if (packs.size >= most) break
  }
  return packs
}

function isFull(known: KnownChunks): boolean {
  return known.size >= known.capacity * FILL
}

async function addSegment(
  source: KnownSource,
  known: KnownChunks,
  segment: BlobLocation,
  isLost: (pack: string) => boolean,
): Promise<void> {
  if (isFull(known)) return
  await unlessCorrupt(source.warn, async () => {
    // A segment in a retired pack may already be deleted. Its chunks may still exist, but they stay unknown.
    if (isLost(segment.pack)) return
    const table = LocationTable.decode(await source.blobs.read('segment', segment))
    known.addAll(table, isLost)
  })
}

/** An index run only saves space, so an unreadable run must not fail the backup. */
async function unlessCorrupt(warn: Warn, act: () => Promise<void>): Promise<void> {
  try {
    await act()
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error
    warn(error.reason, error.message)
  }
}
