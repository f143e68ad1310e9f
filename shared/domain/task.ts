// Work that a clock or anybody else's event asks for: one at a time, and no more often than it may.

import type { Lease } from '#shared/api/types.ts'
import { leaseState } from './lease.ts'

/** On the Leases of such work, which stay. */
export const TASK_LABEL = 'dormouse.dev/task'

/** On such a Lease: where the next run goes on, as the last one did not come to the end. A lie there costs a detour. */
export const RESUME_ANNOTATION = 'dormouse.dev/resume-after'

export type TaskTurn = 'go' | 'under way' | 'too soon'

/** `acquireTime` is when it began last, and stays when its Lease is let go. One from times to come was set by a clock that was ahead. */
export function taskTurn(lease: Lease | undefined, nowMs: number, gapMs: number): TaskTurn {
  if (leaseState(lease, '', nowMs) === 'held') return 'under way'
  const sinceMs = nowMs - (Date.parse(lease?.spec?.acquireTime ?? '') || 0)
  return sinceMs >= 0 && sinceMs < gapMs ? 'too soon' : 'go'
}

export function taskLeaseName(task: string): string {
  return `dormouse-task-${task}`
}
