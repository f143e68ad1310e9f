// The small objects that are no longer needed. Any process may delete any of them, even twice, at any time after it is due.

import { TerminalError } from '#shared/kernel/errors.ts'
import { DAY_MS, HOUR_MS } from '#shared/kernel/units.ts'
import type { StoredObject } from '#shared/ports/object-store.ts'
import { isProbeKey, PROBE_PREFIX } from '#shared/repository/core/conditional-put.ts'
import { indexKey, packKey, retireKey, sessionKey } from '#shared/repository/format/names.ts'
import type { Doomed } from './prune-remover.ts'
import type { PruneRun } from './prune-run.ts'
import { sessionOf } from './prune-survey.ts'

/** A probe lives for a second; an older one was left by a crash. */
const PROBE_LIVES_MS = HOUR_MS
/** Dormouse begins no multipart uploads. Other programs do when they copy a bucket, and take less than a week. */
export const INCOMPLETE_LIVES_MS = 7 * DAY_MS

/**
 * Whether an object of an ended session is no longer needed. A session that was given up keeps its tombstone, and its marker if it may
 * once have been sealed.
 */
function isLeftover(
  key: string,
  session: string,
  { sealed, tombstones }: { sealed: ReadonlySet<string>; tombstones: ReadonlyMap<string, string> },
): boolean {
  if (key === sessionKey(session)) return tombstones.has(session) && tombstones.get(session) !== 'forgotten'
  if (key === indexKey(session)) return tombstones.has(session)
  return sealed.has(session) || tombstones.has(session) // a checkpoint
}

/** false: time was up. */
export async function removeLeftovers(run: PruneRun, alsoEnded: ReadonlySet<string> = new Set()): Promise<boolean> {
  const { survey, reach, remover, kept } = run
  const tombstones = new Map([...reach.tombstones, ...[...alsoEnded].map((session) => [session, 'idle'] as const)])
  const doomed: Doomed[] = [...survey.ofSessions.values()].filter(
    ({ key, session }) =>
      isLeftover(key, session, { sealed: reach.sealed, tombstones }) &&
      (key === indexKey(session) || !kept.session(session)),
  )
  for (const { key } of doomed) survey.ofSessions.delete(key)
  return (await remover.removeAll(doomed)) && (await remover.removeAll(await leftoverProbesAndLists(run)))
}

async function leftoverProbesAndLists({ survey, nowMs, repository, signal }: PruneRun): Promise<Doomed[]> {
  const doomed: Doomed[] = []
  for (const object of survey.others.values()) {
    if (object.key.startsWith(PROBE_PREFIX) ? isOldProbe(object) : await isStray(object.key)) doomed.push(object)
  }
  for (const { key } of doomed) survey.others.delete(key)
  return doomed

  /** What has another name there is not Dormouse's to delete. */
  function isOldProbe({ key, modifiedMs }: StoredObject): boolean {
    return isProbeKey(key) && modifiedMs < nowMs - PROBE_LIVES_MS
  }

  /** `retire/<g>` is written before the other lists and deleted before them. */
  async function isStray(key: string): Promise<boolean> {
    return (await repository.store.get(retireKey(key.slice(key.indexOf('/') + 1)), signal)) === undefined
  }
}

/**
 * Removes uploads that other programs began and never finished, if the store can list them and permits it. They are no part of the
 * repository, so a refusal does not fail the prune.
 */
export async function removeIncomplete(run: PruneRun, livesMs: number): Promise<boolean> {
  const { incompleteUploads } = run.repository.store
  if (incompleteUploads === undefined) return true
  try {
    for await (const upload of incompleteUploads.list(run.signal)) {
      if (upload.startedMs > run.nowMs - livesMs) continue
      if (run.isOver()) return false
      if (!run.dryRun) await incompleteUploads.abort(upload, run.signal)
      run.remover.count('incomplete', 0)
    }
  } catch (error) {
    if (!(error instanceof TerminalError)) throw error
    run.warn(error.reason, error.message)
  }
  return true
}

/**
 * What a backup needs or the format keeps. Sessions and prunes that run own other objects for a while; once they have ended and a prune
 * has run, no other object may be left.
 */
type Kept = {
  packs: { has(pack: string): boolean }
  sealed: ReadonlySet<string>
  tombstones: ReadonlyMap<string, string>
}

export function isKept(key: string, kept: Kept): boolean {
  const [folder = ''] = key.split('/')
  const session = sessionOf(key)
  if (key === 'config' || folder === 'keys' || folder === 'roots' || folder === 'reach') return true
  if (session === undefined) return false
  if (key.startsWith(packKey(''))) return kept.packs.has(key.slice(packKey('').length))
  if (key !== sessionKey(session) && key !== indexKey(session)) return false
  return (kept.sealed.has(session) || kept.tombstones.has(session)) && !isLeftover(key, session, kept)
}
