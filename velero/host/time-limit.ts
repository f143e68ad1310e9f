// Velero calls without a deadline: a call that hangs in a plugin blocks the whole backup. So each call has a limit of its own.

import { RetryableError } from '#shared/kernel/errors.ts'
import { parseGoDuration } from '#shared/kernel/go-duration.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import type { Item } from './items.ts'

/** Velero writes its `--resource-timeout` to this annotation on each Backup and Restore. */
const ANNOTATION = 'velero.io/resource-timeout'
/** Velero's own default. */
const DEFAULT_MS = 10 * MINUTE_MS
/**
 * An action waits for other components itself, up to Velero's `--resource-timeout`, and then ends by a rule of its own. Its own work beside
 * that wait is some calls of the API server, which may be slow: for them it gets this much more time, and at most the time-out once more.
 */
const OWN_WORK_MS = 2 * MINUTE_MS
/** The longest delay of a timer; a longer one would fire at once. */
const TIMER_MAX_MS = 2 ** 31 - 1

/** How long one call may take, by the Backup or Restore that it belongs to: this limit ends only calls that hang. */
export function callLimitMs(run: Item): number {
  const text: unknown = run.metadata?.annotations?.[ANNOTATION]
  const waitMs = (typeof text === 'string' ? parseGoDuration(text) : undefined) ?? DEFAULT_MS
  return Math.min(waitMs + Math.min(waitMs, OWN_WORK_MS), TIMER_MAX_MS)
}

/**
 * Starts the work, and waits for it no longer than the limit. The work is not stopped: it may still end, and its result is ignored. It starts
 * here, and not before: an error between its start and this place would leave an unhandled rejection, which ends the process.
 */
export async function within<T>(limitMs: number, what: string, work: () => Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const tooLong = new RetryableError('CallTimeout', `${what} did not end within ${limitMs / 1000} s`)
  const timer = setTimeout(() => reject(tooLong), limitMs)
  const ended = (async () => await work())()
  return await Promise.race([ended, late]).finally(() => clearTimeout(timer))
}
