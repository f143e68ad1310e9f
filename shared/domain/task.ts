// Tasks that a schedule or another event starts: one run at a time, and no more often than allowed.

import type { Lease } from '#shared/api/types.ts'
import { leaseState } from './lease.ts'

/** On the Leases of such tasks, which are kept. */
export const TASK_LABEL = 'dormouse.dev/task'

/**
 * On the Lease of a task: where the next run continues, because the last one did not come to the end. A wrong value only costs a detour.
 */
export const RESUME_ANNOTATION = 'dormouse.dev/resume-after'

type TaskTurn = 'go' | 'under way' | 'too soon'

/**
 * `acquireTime` is when the task last began, and stays when the Lease is released. A time in the future was set by a clock that was ahead.
 */
export function taskTurn(lease: Lease | undefined, nowMs: number, gapMs: number): TaskTurn {
  if (leaseState(lease, '', nowMs) === 'held') return 'under way'
  const sinceMs = nowMs - (Date.parse(lease?.spec?.acquireTime ?? '') || 0)
  return sinceMs >= 0 && sinceMs < gapMs ? 'too soon' : 'go'
}

export function taskLeaseName(task: string): string {
  return `dormouse-task-${task}`
}
