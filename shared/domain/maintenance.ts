// What maintenance says about a prune, and whose turn it is.

import { DAY_MS } from '#shared/kernel/units.ts'
import type { ConditionChange } from './conditions.ts'

/** What of a prune's report these words are made of; the port's type has more. */
export type Removed = { removed: Record<string, { objects: number; bytes: number }> }
export type Pruned = Removed & { state: 'done' | 'waiting' | 'more'; waitsFor: readonly string[] }

/** Each day another one comes first: one that takes all of the time must not starve the others for ever. */
export function inTurn<T>(all: readonly T[], nowMs: number): T[] {
  if (all.length === 0) return []
  const first = Math.floor(Math.max(0, nowMs) / DAY_MS) % all.length
  return [...all.slice(first), ...all.slice(0, first)]
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

/** The condition of the BackupRepository. */
export function prunedCondition({ state, waitsFor }: Pruned): ConditionChange {
  const type = 'Pruned'
  if (state === 'done') return { type, status: 'True', reason: 'Pruned', message: 'what no backup names is gone' }
  if (state === 'more') {
    return { type, status: 'False', reason: 'PruneUnfinished', message: 'time was up; the next run goes on' }
  }
  const [first = ''] = waitsFor
  const message = `${waitsFor.length} uploads that have not ended may use what is to go (${first}, …); the next run looks again`
  return { type, status: 'False', reason: 'SessionsRunning', message }
}
