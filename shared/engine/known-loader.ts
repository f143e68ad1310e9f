// Fills the table of known chunks from the repository's index runs, newest first, as far as the table goes.

import { openIndexRun } from '#shared/format/index-run.ts'
import { type BlobLocation, LocationTable } from '#shared/format/location-table.ts'
import { indexKey, parseSession, sessionInKey } from '#shared/format/names.ts'
import { CorruptionError } from '#shared/kernel/errors.ts'
import type { BlobReader } from './blob-reader.ts'
import { inParallel } from './in-parallel.ts'
import { KnownChunks } from './known-chunks.ts'
import type { Repository } from './repository.ts'
import type { UploadState } from './upload-state.ts'
import type { Warn } from './warn.ts'

/** Runs that are looked at however many there are: the start of a slice must not grow with the repository. */
const MOST_RUNS = 256
const PARALLEL_READS = 8
/** Buckets overflow before the table is full; beyond this part, loading more would push out newer entries. */
const FILL = 0.75

export type KnownSource = {
  repository: Repository
  blobs: BlobReader
  retired: ReadonlySet<string>
  mostEntries: number
  warn: Warn
}

export async function loadKnownChunks(source: KnownSource, session: string, state: UploadState): Promise<KnownChunks> {
  const known = new KnownChunks(source.mostEntries)
  // What this session stored in earlier slices comes first.
  await inParallel(state.newChunks.segments.toReversed(), PARALLEL_READS, (segment) =>
    addSegment(source, known, segment),
  )
  known.addAll(LocationTable.decode(state.newChunks.encodeUnsegmented()), (pack) => source.retired.has(pack))
  const runs = (await runsNewestFirst(source.repository)).filter((run) => run !== session).slice(0, MOST_RUNS)
  await inParallel(runs, PARALLEL_READS, (run) => addRun(source, known, run))
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

async function addRun(source: KnownSource, known: KnownChunks, session: string): Promise<void> {
  if (isFull(known)) return
  const { store, keys } = source.repository
  const key = indexKey(session)
  const bytes = await store.get(key)
  if (bytes === undefined) return
  await unlessCorrupt(source.warn, async () => {
    const run = openIndexRun(keys, session, bytes, `${store.location}/${key}`)
    known.addAll(run.rest, (pack) => source.retired.has(pack))
    for (const segment of run.segments) await addSegment(source, known, segment)
  })
}

function isFull(known: KnownChunks): boolean {
  return known.size >= known.capacity * FILL
}

async function addSegment(source: KnownSource, known: KnownChunks, segment: BlobLocation): Promise<void> {
  if (isFull(known)) return
  await unlessCorrupt(source.warn, async () => {
    // A segment in a retired pack may be gone already; its chunks may live on, and are merely not known.
    if (source.retired.has(segment.pack)) return
    const table = LocationTable.decode(await source.blobs.read('segment', segment))
    known.addAll(table, (pack) => source.retired.has(pack))
  })
}

/** An index run only saves space: one that cannot be read is no reason to have no backup. */
async function unlessCorrupt(warn: Warn, act: () => Promise<void>): Promise<void> {
  try {
    await act()
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error
    warn(error.reason, error.message)
  }
}
