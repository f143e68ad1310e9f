// The small objects that nobody needs any more. Each may be deleted twice, by anyone, at any time after it is due.

import { TerminalError } from '#shared/kernel/errors.ts'
import { DAY_MS, HOUR_MS } from '#shared/kernel/units.ts'
import { PROBE_PREFIX } from '#shared/repository/core/conditional-put.ts'
import { indexKey, packKey, retireKey, sessionKey } from '#shared/repository/format/names.ts'
import type { Doomed } from './prune-remover.ts'
import type { PruneRun } from './prune-run.ts'
import { sessionOf } from './prune-survey.ts'

/** A probe lives for a second; what is older was left by a crash. */
const PROBE_LIVES_MS = HOUR_MS
/** Dormouse begins no multipart upload. Other programs do when they copy a bucket; a week is more than they take. */
export const INCOMPLETE_LIVES_MS = 7 * DAY_MS

/** What stays of a session that was given up: its tombstone, and the marker where it may have been sealed once. */
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
    const isProbe = object.key.startsWith(PROBE_PREFIX)
    if (isProbe ? object.modifiedMs < nowMs - PROBE_LIVES_MS : await isStray(object.key)) doomed.push(object)
  }
  for (const { key } of doomed) survey.others.delete(key)
  return doomed

  /** `retire/<g>` is written before them and deleted before them. */
  async function isStray(key: string): Promise<boolean> {
    return (await repository.store.get(retireKey(key.slice(key.indexOf('/') + 1)), signal)) === undefined
  }
}

/**
 * Removes what other programs began to send and never finished, where the store can tell and lets us: it is no part of the
 * repository, and a refusal is no failure of the prune.
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
 * Everything that neither a backup needs nor the format keeps. Sessions and prune runs that go on own such objects for a
 * while; when they have ended and a prune has run there must be none.
 */
export type Kept = {
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
