// Velero calls with no deadline: what hangs in a plugin hangs the whole backup. So each call limits itself.

import { RetryableError } from '#shared/kernel/errors.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import { parseGoDuration } from './go-duration.ts'
import type { Item } from './items.ts'

/** Velero writes its `--resource-timeout` here, on each Backup and Restore. */
const ANNOTATION = 'velero.io/resource-timeout'
/** Velero's own default. */
const DEFAULT_MS = 10 * MINUTE_MS
/** The longest that a timer takes; a longer one would fire at once. */
const TIMER_MAX_MS = 2 ** 31 - 1

/** How long one execute may take, from the Backup or Restore it belongs to. */
export function resourceTimeoutMs(run: Item): number {
  const text: unknown = run.metadata?.annotations?.[ANNOTATION]
  const ms = typeof text === 'string' ? parseGoDuration(text) : undefined
  return Math.min(ms ?? DEFAULT_MS, TIMER_MAX_MS)
}

/**
 * Begins the work, and waits for it no longer than that. It is not stopped: it may still end, and nobody looks at it any more. Begun here, and
 * not before: an error between its beginning and this place would leave a promise that nobody awaits, which ends the process.
 */
export async function within<T>(limitMs: number, what: string, work: () => Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const tooLong = new RetryableError('CallTimeout', `${what} did not end within ${limitMs / 1000} s`)
  const timer = setTimeout(() => reject(tooLong), limitMs)
  const ended = (async () => await work())()
  return await Promise.race([ended, late]).finally(() => clearTimeout(timer))
}
