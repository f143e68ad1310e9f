// What sessions have left that were given up, and which the next backup of their volume may go on from. A matter of space alone: that
// nothing is lost does not hang on it.

import { parseSession } from '#shared/format/names.ts'
import { DAY_MS } from '#shared/kernel/units.ts'
import type { PruneRun } from './prune-run.ts'

/** A backup each week, that its time limit ends each week, goes on as well. */
export const GIVEN_UP_LIVES_MS = 8 * DAY_MS

/** `completedMs`: when the newest began that ever was a backup. `isGoneOnWith`: one that began later has a checkpoint to go by. */
type Volume = { completedMs: number; isGoneOnWith: boolean }

/**
 * A backup takes over packs of those that were given up before it, so all of them are kept together: from the volume's last backup on, for
 * as long as the newest has left a checkpoint that is not too old, or one that has not ended has any.
 */
export function keptForNext(
  { survey, reach, keptSinceMs }: Pick<PruneRun, 'survey' | 'reach' | 'keptSinceMs'>,
  alsoEnded: ReadonlySet<string> = new Set(),
): (session: string) => boolean {
  const volumes = new Map<string, Volume>()
  const isGivenUp = (session: string) => alsoEnded.has(session) || isOneToGoOnFrom(reach.tombstones.get(session))
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
  return (session) => {
    const { volume, startedMs } = partsOf(session)
    const { completedMs, isGoneOnWith } = volumes.get(volume) ?? { completedMs: 0, isGoneOnWith: false }
    return isGoneOnWith && startedMs > completedMs && isGivenUp(session)
  }
}

function partsOf(session: string): { volume: string; startedMs: number } {
  const parts = parseSession(session)
  return { volume: parts?.volumeTag ?? '', startedMs: parts?.startedMs ?? 0 }
}

const isOneToGoOnFrom = (why: string | undefined): boolean => why === 'abandoned' || why === 'idle'
