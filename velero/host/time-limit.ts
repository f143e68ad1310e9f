// Velero calls with no deadline: what hangs in a plugin hangs the whole backup. So each call limits itself.

import { RetryableError } from '#shared/kernel/errors.ts'
import { parseGoDuration } from '#shared/kernel/go-duration.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import type { Item } from './items.ts'

/** Velero writes its `--resource-timeout` here, on each Backup and Restore. */
const ANNOTATION = 'velero.io/resource-timeout'
/** Velero's own default. */
const DEFAULT_MS = 10 * MINUTE_MS
/**
 * An action waits for others by itself, for as long as Velero's `--resource-timeout`, and then ends by a rule of its own. What it does beside
 * that is some calls of the API server, which may be slow: it has at most so much more for them, and no more than as much again.
 */
const OWN_WORK_MS = 2 * MINUTE_MS
/** The longest that a timer takes; a longer one would fire at once. */
const TIMER_MAX_MS = 2 ** 31 - 1

/** How long one call may take, from the Backup or Restore that it belongs to: only what hangs is ended by this. */
export function callLimitMs(run: Item): number {
  const text: unknown = run.metadata?.annotations?.[ANNOTATION]
  const waitMs = (typeof text === 'string' ? parseGoDuration(text) : undefined) ?? DEFAULT_MS
  return Math.min(waitMs + Math.min(waitMs, OWN_WORK_MS), TIMER_MAX_MS)
}

/**
 * Begins the work, and waits for it no longer than that. It is not stopped: it may still end, and nobody looks at it any more. Begun
 * here, and not before: an error between its beginning and this place would leave a promise that nobody awaits, which ends the process.
 */
export async function within<T>(limitMs: number, what: string, work: () => Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const tooLong = new RetryableError('CallTimeout', `${what} did not end within ${limitMs / 1000} s`)
  const timer = setTimeout(() => reject(tooLong), limitMs)
  const ended = (async () => await work())()
  return await Promise.race([ended, late]).finally(() => clearTimeout(timer))
}
