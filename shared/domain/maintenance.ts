// How maintenance reports a prune, and which repository comes first.

import type { Condition } from '#shared/api/kinds.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import { type ConditionChange, isTrue } from './conditions.ts'
import { firstFew } from './first-few.ts'

/** Only saves work: two prunes at once do no harm. */
export const MAINTENANCE_LEASE = 'dormouse-maintenance'

/** The part of a prune's report that these texts use; the port's type has more. */
type Removed = { removed: Record<string, { objects: number; bytes: number }> }
type Pruned = Removed & { state: 'done' | 'waiting' | 'more'; waitsFor: readonly string[] }
type Share = { done: number; total: number }
type Progress = { phase: 'survey'; roots: Share; pages: Share } | { phase: 'delete'; packs: Share } | { phase: 'tidy' }

/**
 * Each round begins with another repository: one that takes all of the time must not starve the others. The rounds do not simply advance by
 * one: rounds that are ten minutes apart would then always begin with the same one of ten.
 */
export function startingElsewhere<T>(all: readonly T[], nowMs: number): T[] {
  if (all.length === 0) return []
  const round = Math.floor(Math.max(0, nowMs) / MINUTE_MS)
  const first = ((Math.imul(round, 0x9e3779b1) >>> 0) / 2 ** 32) * all.length
  return [...all.slice(first), ...all.slice(0, first)]
}

/** A prune of this repository has begun and is not finished. If its process died, the condition is still set. */
export function isPruning(conditions: Condition[] | undefined): boolean {
  return isTrue(conditions, 'Ready') && isTrue(conditions, 'Pruning')
}

export function removedOf({ removed }: Removed): { objects: number; bytes: number } {
  const sum = { objects: 0, bytes: 0 }
  for (const { objects, bytes } of Object.values(removed)) {
    sum.objects += objects
    sum.bytes += bytes
  }
  return sum
}

export function removedText(report: Removed): string {
  const { objects, bytes } = removedOf(report)
  return `removed ${objects} objects, ${bytes} bytes`
}

/** One text for all sessions that a slice has given up: whoever may write to the bucket can plant any number of names. */
export function idleText(fenced: readonly string[]): string {
  const sessions = fenced.length === 1 ? 'session' : `${fenced.length} sessions:`
  return `gave up ${sessions} ${firstFew(fenced)}: nothing new for long`
}

/** The condition of the BackupRepository. */
export function prunedCondition({ state, waitsFor }: Pruned): ConditionChange {
  const type = 'Pruned'
  if (state === 'done') return { type, status: 'True', reason: 'Pruned', message: 'what no backup names is gone' }
  if (state === 'more') {
    return {
      type,
      status: 'False',
      reason: 'PruneUnfinished',
      message: 'it goes on within minutes; the condition Pruning tells how far it is',
    }
  }
  const [first = ''] = waitsFor
  const message = `${waitsFor.length} uploads that have not ended may use what is to go (${first}, …); the next run looks again`
  return { type, status: 'False', reason: 'SessionsRunning', message }
}

/** Written before a prune begins, so that it is continued even if the process dies. */
export const DUE: ConditionChange = { type: 'Pruning', status: 'True', reason: 'PruneDue', message: 'it begins soon' }

/** A prune that is finished, waits for uploads, or has failed for good. The next one begins with the next tick of the schedule. */
export const ENDED: ConditionChange = {
  type: 'Pruning',
  status: 'False',
  reason: 'PruneEnded',
  message: 'none is under way; the condition Pruned tells how the last one ended',
}

export function pruningCondition(progress: Progress): ConditionChange {
  const at = { type: 'Pruning', status: 'True' } as const
  if (progress.phase === 'survey') return { ...at, reason: 'Surveying', message: surveyText(progress) }
  if (progress.phase === 'tidy')
    return { ...at, reason: 'TidyingUp', message: 'removes small objects that are left over' }
  const { done, total } = progress.packs
  return { ...at, reason: 'DeletingPacks', message: `${done} of ${total} packs of the list at hand are gone` }
}

function surveyText({ roots, pages }: { roots: Share; pages: Share }): string {
  const read = `${roots.done} of ${roots.total} backups are read`
  return pages.done < pages.total ? `${read}, and ${pages.done} of ${pages.total} map pages of the next one` : read
}
