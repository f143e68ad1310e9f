// Polls for a short time inside one request, so that a change that comes soon needs neither an event nor the sweep.

import { POLL_AGAIN_AT_MOST_MS, POLL_AGAIN_MS } from '#shared/domain/waits.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { StepDeps } from './deps.ts'
import type { WorkLease } from './work-lease.ts'

/**
 * The user or Kubernetes decides when the condition is met: a claim may never be bound, and a Pod may use a claim for days. A tenant who
 * creates many such objects must not occupy a function's requests, so after this time the step waits for an event or a later delivery.
 */
const LOOK_ON_MS = 2 * SECOND_MS
const LOOK_EVERY_MS = 250

/** Another Dormouse function that is told to stop does so within this time. */
export const STOP_LOOK_MS = 20 * SECOND_MS

/**
 * `sinceMs` is when the wait began; NaN if that is unknown. A tenant may have written the value, so the result is kept between fixed
 * bounds.
 */
export function lookAgainMs(sinceMs: number, nowMs: number): number {
  const half = (nowMs - sinceMs) / 2
  return Number.isNaN(half) ? POLL_AGAIN_MS : Math.min(Math.max(half, POLL_AGAIN_MS), POLL_AGAIN_AT_MOST_MS)
}

/** true: the condition is met. false: it was not met in time, or the work must stop. */
export async function pollUntil(
  deps: StepDeps,
  { signal }: Pick<WorkLease, 'signal'>,
  isSo: () => Promise<boolean>,
  limitMs = LOOK_ON_MS,
): Promise<boolean> {
  const endMs = deps.clock.monotonicMs() + limitMs
  while (!(await isSo())) {
    if (signal.aborted || deps.clock.monotonicMs() > endMs) return false
    await deps.clock.sleep(LOOK_EVERY_MS, signal).catch(() => undefined)
  }
  return true
}
