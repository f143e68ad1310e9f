// What the parts of one prune run share.

import type { Clock } from '#shared/kernel/clock.ts'
import { fenceSession } from '#shared/repository/core/fence.ts'
import type { Repository } from '#shared/repository/core/repository.ts'
import type { Warn } from '#shared/repository/core/warn.ts'
import { indexKey } from '#shared/repository/format/names.ts'
import type { Remover } from './prune-remover.ts'
import type { Survey } from './prune-survey.ts'
import type { Reach } from './reach.ts'
import type { ReachNotes } from './reach-notes.ts'

/** `session`: its marker and last checkpoint stay. `pack`: this one stays, though no root names it. */
export type KeptForNext = { session: (session: string) => boolean; pack: (pack: string) => boolean }

export type PruneRun = {
  repository: Repository
  survey: Survey
  /** What roots name. It may hold names of roots that were forgotten since: that keeps packs, for one run more. */
  reach: Reach
  /** A fresh look, in the time that is left; undefined: it was not enough. */
  lookAnew: () => Promise<Reach | undefined>
  notes: ReachNotes
  remover: Remover
  /** The store's own time. */
  nowMs: number
  /** A session that wrote nothing since then is given up. */
  idleSinceMs: number
  /** What a session has left that was given up is kept for the next backup when its checkpoint was written after this. */
  keptSinceMs: number
  /** That, as it was found once the survey was whole. */
  kept: KeptForNext
  clock: Clock
  fenced: string[]
  /** How many of the packs of the list at hand are gone. */
  packsGone: { done: number; total: number } | undefined
  isOver: () => boolean
  /** A part of the time is left for what comes after a look that need not be whole. */
  isNearlyOver: () => boolean
  dryRun: boolean
  signal: AbortSignal | undefined
  warn: Warn
}

/**
 * Gives up those of the sessions that wrote nothing for long. Always safe: a session that is still alive notices it at the
 * latest when it seals, and its backup begins again. `fallbackMs`: last write of a session that has no object left.
 * false: time was up; who was given up stays so.
 */
export async function fenceIdle(run: PruneRun, sessions: Iterable<string>, fallbackMs: number): Promise<boolean> {
  const { repository, survey, idleSinceMs, clock, fenced } = run
  for (const session of sessions) {
    if ((survey.lastWriteMs.get(session) ?? fallbackMs) >= idleSinceMs) continue
    if (fenced.length > 0 && run.isOver()) return false
    fenced.push(session)
    if (run.dryRun) continue
    // An index run is written just before the root: someone may be half-way through forgetting that root.
    const why = survey.ofSessions.has(indexKey(session)) ? 'forgotten' : 'idle'
    const checkpoint = why === 'idle' ? survey.checkpoints.get(session)?.name : undefined
    await fenceSession(repository, session, why, clock.nowMs(), checkpoint)
  }
  return true
}
