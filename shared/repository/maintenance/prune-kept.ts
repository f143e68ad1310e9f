// What given-up sessions have left, from which the next backup of their volume may continue. This only saves space: no data is lost
// without it. The amount that is kept is bounded: it is what the checkpoints of a few sessions name.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { DAY_MS } from '#shared/kernel/units.ts'
import { BlobReader } from '#shared/repository/core/blob-reader.ts'
import { inParallel } from '#shared/repository/core/in-parallel.ts'
import { readPageMap } from '#shared/repository/core/page-map.ts'
import { checkpointsOf, MOST_TAKEN } from '#shared/repository/core/unfinished.ts'
import type { Checkpoint } from '#shared/repository/format/checkpoint.ts'
import type { BlobLocation } from '#shared/repository/format/location-table.ts'
import { parseSession } from '#shared/repository/format/names.ts'
import { pageId } from '#shared/repository/format/reach-notes.ts'
import { PackTable } from './pack-table.ts'
import type { KeptForNext, PruneRun } from './prune-run.ts'

/** Long enough for a weekly backup that its time limit ends each week: the next one still continues from it. */
export const GIVEN_UP_LIVES_MS = 8 * DAY_MS
const PARALLEL_READS = 8

/** Used before anything was surveyed. */
export const ALL_KEPT: KeptForNext = { session: () => true, pack: () => true }

type Source = Pick<PruneRun, 'repository' | 'survey' | 'reach' | 'keptSinceMs' | 'warn' | 'signal'> & {
  /** Tells that no more pages may be read: the rest of the time is reserved for other work. */
  isEnough: () => boolean
}
/**
 * `completedMs`: when the newest session began that ever became a backup. `isGoneOnWith`: a later session has a checkpoint to continue
 * from.
 */
type Volume = { completedMs: number; isGoneOnWith: boolean }
/** `wholeVolumes`: volumes for which there was no time to read what their checkpoints name. */
type Named = { sessions: Set<string>; packs: PackTable; pages: Set<string>; wholeVolumes: Set<string> }

/**
 * Decides what to keep for the next backup of each volume. It looks at the sessions that were given up after the volume's last backup.
 * What they stored, and what they took over from other given-up sessions, is kept while one of them has a checkpoint that is not too old,
 * or while a running session has any checkpoint. Everything of a session that ended during this look is kept.
 */
export async function keptForNext(source: Source, alsoEnded: ReadonlySet<string> = new Set()): Promise<KeptForNext> {
  const { reach, keptSinceMs, survey } = source
  const volumes = volumesOf(source, alsoEnded)
  const isOpen = (session: string) => !reach.ended.has(session) && !alsoEnded.has(session)
  const openThen = new Set(
    keptSinceMs === Number.POSITIVE_INFINITY ? [] : [...survey.lastWriteMs.keys()].filter(isOpen),
  )
  const named: Named = { sessions: new Set(), packs: new PackTable(), pages: new Set(), wholeVolumes: new Set() }
  for (const [volume, { completedMs, isGoneOnWith }] of volumes)
    if (isGoneOnWith) await lookAt(source, volume, completedMs, named)
  const isKeptWhole = (session: string) => {
    const { volume, startedMs } = partsOf(session)
    const isAfter = startedMs > (volumes.get(volume)?.completedMs ?? 0)
    return isAfter && (openThen.has(session) || named.wholeVolumes.has(volume))
  }
  const isGivenUp = (session: string) => alsoEnded.has(session) || isOneToGoOnFrom(reach.tombstones.get(session))
  return {
    session: (session) => isGivenUp(session) && (named.sessions.has(session) || isKeptWhole(session)),
    pack: (pack) => {
      const session = pack.slice(0, pack.indexOf('/'))
      return isGivenUp(session) && (named.packs.has(pack) || isKeptWhole(session))
    },
  }
}

function volumesOf({ survey, reach, keptSinceMs }: Source, alsoEnded: ReadonlySet<string>): Map<string, Volume> {
  const volumes = new Map<string, Volume>()
  const wasBackup = (session: string) => reach.sealed.has(session) || reach.tombstones.get(session) === 'forgotten'
  for (const session of [...reach.sealed, ...reach.tombstones.keys()]) {
    if (!wasBackup(session)) continue
    const { volume, startedMs } = partsOf(session)
    const { completedMs = 0 } = volumes.get(volume) ?? {}
    volumes.set(volume, { completedMs: Math.max(completedMs, startedMs), isGoneOnWith: false })
  }
  for (const [session, { modifiedMs }] of survey.checkpoints) {
    const { volume, startedMs } = partsOf(session)
    const { completedMs = 0 } = volumes.get(volume) ?? {}
    const isOpen = keptSinceMs !== Number.POSITIVE_INFINITY && !reach.ended.has(session) && !alsoEnded.has(session)
    if (startedMs <= completedMs || wasBackup(session)) continue
    if (isOpen || modifiedMs > keptSinceMs) volumes.set(volume, { completedMs, isGoneOnWith: true })
  }
  return volumes
}

/**
 * A running session does not use up the room for ended ones: it may become a backup that is deleted later, and then the ended ones
 * remain.
 */
async function lookAt(source: Source, volume: string, completedMs: number, named: Named): Promise<void> {
  const room = { ended: MOST_TAKEN, open: MOST_TAKEN }
  for await (const { session, startedMs, checkpoint, hasEnded } of checkpointsOf(source, volume)) {
    const kind = hasEnded ? 'ended' : 'open'
    if (startedMs <= completedMs || room[kind] === 0) continue
    room[kind]--
    named.sessions.add(session)
    if (!(await takeNamed(source, checkpoint, named))) return void named.wholeVolumes.add(volume)
    if (room.ended === 0 && room.open === 0) break
  }
}

/** false: time was up. */
async function takeNamed(source: Source, checkpoint: Checkpoint, named: Named): Promise<boolean> {
  const { survey, reach } = source
  const take = (pack: string) => {
    if (survey.packs.has(pack)) named.packs.add(pack)
  }
  for (const { map } of checkpoint.openPages) for (const pack of map.packs) take(pack)
  const todo: BlobLocation[] = []
  for (let page = checkpoint.finished.next(0, checkpoint.pages.length); page !== -1; ) {
    const location = checkpoint.pages.get(page)
    page = checkpoint.finished.next(page + 1, checkpoint.pages.length)
    if (location === undefined) continue
    take(location.pack)
    const id = pageId(location.id)
    // The survey already knows the packs of a page that a backup shares. A page whose pack is gone is of no use.
    if (named.pages.has(id) || reach.hasPage(id) || !survey.packs.has(location.pack)) continue
    todo.push(location)
  }
  const blobs = new BlobReader(source.repository, source.signal)
  let isWhole = true
  await inParallel(todo, PARALLEL_READS, async (location) => {
    if (source.isEnough()) isWhole = false
    if (!isWhole) return
    for (const pack of await packsOf(source, blobs, location)) take(pack)
    named.pages.add(pageId(location.id))
  })
  return isWhole
}

/** A page that cannot be read names no packs: the next backup ignores it as well. */
async function packsOf({ warn }: Source, blobs: BlobReader, location: BlobLocation): Promise<readonly string[]> {
  try {
    return (await readPageMap(blobs, location)).packs
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error
    warn(error.reason, `what a page of a backup that was not finished names is not kept: ${error.message}`)
    return []
  }
}

function partsOf(session: string): { volume: string; startedMs: number } {
  const parts = parseSession(session)
  return { volume: parts?.volumeTag ?? '', startedMs: parts?.startedMs ?? 0 }
}

const isOneToGoOnFrom = (why: string | undefined): boolean => why === 'abandoned' || why === 'idle'
