// State that the parts of one prune share.

import type { Clock } from '#shared/kernel/clock.ts'
import { fenceSession } from '#shared/repository/core/fence.ts'
import type { Repository } from '#shared/repository/core/repository.ts'
import type { Warn } from '#shared/repository/core/warn.ts'
import { indexKey } from '#shared/repository/format/names.ts'
import type { Remover } from './prune-remover.ts'
import type { Survey } from './prune-survey.ts'
import type { Reach } from './reach.ts'
import type { ReachNotes } from './reach-notes.ts'

/** `session`: keep its marker and last checkpoint. `pack`: keep this pack although no root names it. */
export type KeptForNext = { session: (session: string) => boolean; pack: (pack: string) => boolean }

export type PruneRun = {
  repository: Repository
  survey: Survey
  /** What roots name. It may include names from roots that were forgotten later, which keeps those packs until the next run. */
  reach: Reach
  /** Looks again in the time that is left; undefined: the time was not enough. */
  lookAnew: () => Promise<Reach | undefined>
  notes: ReachNotes
  remover: Remover
  /** The store's own time. */
  nowMs: number
  /** A session that wrote nothing since then is given up. */
  idleSinceMs: number
  /** What a given-up session has left is kept for the next backup if its checkpoint was written after this time. */
  keptSinceMs: number
  /** What is kept for the next backup, as decided once the survey was complete. */
  kept: KeptForNext
  clock: Clock
  fenced: string[]
  /** How many of the packs of the current list are deleted. */
  packsGone: { done: number; total: number } | undefined
  isOver: () => boolean
  /** Leaves a part of the time for later steps, for a look that need not be complete. */
  isNearlyOver: () => boolean
  dryRun: boolean
  signal: AbortSignal | undefined
  warn: Warn
}

/**
 * Gives up those of the sessions that wrote nothing for a long time. This is always safe: a session that is still alive notices it when
 * it seals at the latest, and its backup begins again. `fallbackMs`: the last write of a session that has no object left. false: time was
 * up; sessions that were given up until then stay so.
 */
export async function fenceIdle(run: PruneRun, sessions: Iterable<string>, fallbackMs: number): Promise<boolean> {
  const { repository, survey, idleSinceMs, clock, fenced } = run
  for (const session of sessions) {
    if ((survey.lastWriteMs.get(session) ?? fallbackMs) >= idleSinceMs) continue
    if (fenced.length > 0 && run.isOver()) return false
    fenced.push(session)
    if (run.dryRun) continue
    // An index run is written just before the root: another process may be half-way through forgetting that root.
    const why = survey.ofSessions.has(indexKey(session)) ? 'forgotten' : 'idle'
    const checkpoint = why === 'idle' ? survey.checkpoints.get(session)?.name : undefined
    await fenceSession(repository, session, why, clock.nowMs(), checkpoint)
  }
  return true
}
