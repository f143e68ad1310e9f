// Looks on for a while inside of one request, so that what comes soon needs no event and no sweep.

import { POLL_AGAIN_AT_MOST_MS, POLL_AGAIN_MS } from '#shared/domain/waits.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { StepDeps } from './deps.ts'
import type { WorkLease } from './work-lease.ts'

/**
 * Somebody else decides when it is so: a claim may never be bound, and a Pod may keep one for days. Whoever makes many such objects must not
 * occupy a function's requests with them, so the rest is left to events and to later looks.
 */
const LOOK_ON_MS = 2 * SECOND_MS
const LOOK_EVERY_MS = 250

/** What a function of ours is told to end ends soon. */
export const STOP_LOOK_MS = 20 * SECOND_MS

/** `sinceMs`: since when it is waited for; NaN: nobody knows. It may be a tenant's word, so it is held between bounds. */
export function lookAgainMs(sinceMs: number, nowMs: number): number {
  const half = (nowMs - sinceMs) / 2
  return Number.isNaN(half) ? POLL_AGAIN_MS : Math.min(Math.max(half, POLL_AGAIN_MS), POLL_AGAIN_AT_MOST_MS)
}

/** true: it is so. false: not within the time, or the claim is to stop. */
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
