// Looks on for a while inside of one request, so that what comes soon needs no event and no sweep.

import { SECOND_MS } from '#shared/kernel/units.ts'
import type { Claim } from './claim.ts'
import type { StepDeps } from './deps.ts'

/** A light function's request ends after 120 s. */
const LOOK_ON_MS = 20 * SECOND_MS
const LOOK_EVERY_MS = 250

/** true: it is so. false: not within the time, or the claim is to stop. */
export async function lookUntil(
  deps: StepDeps,
  { signal }: Pick<Claim, 'signal'>,
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
