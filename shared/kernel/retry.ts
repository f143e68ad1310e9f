// Retries retryable errors, with jittered exponential back-off, inside a time limit.

import type { Clock } from './clock.ts'
import { RetryableError } from './errors.ts'

export type RetryPolicy = { attempts: number; firstDelayMs: number; maxDelayMs: number; signal?: AbortSignal }

/** Calls `act` until it succeeds, throws an error that is not retryable, or `attempts` calls were made. */
export async function retry<T>(act: () => Promise<T>, policy: RetryPolicy, clock: Clock): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await act()
    } catch (error) {
      if (!(error instanceof RetryableError) || attempt >= policy.attempts) throw error
      await clock.sleep(backoffMs(attempt, policy), policy.signal)
    }
  }
}

/** Full delay for attempt 1 is `firstDelayMs`, doubled each time; half of it is jitter so that many callers spread out. */
export function backoffMs(
  attempt: number,
  policy: Pick<RetryPolicy, 'firstDelayMs' | 'maxDelayMs'>,
  random = Math.random,
): number {
  const fullMs = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (attempt - 1))
  return fullMs / 2 + (fullMs / 2) * random()
}
