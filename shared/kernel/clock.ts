// The one place that reads time. Wall time is for people (statuses, names); monotonic time is for leases and deadlines.

import { DAY_MS } from './units.ts'

export interface Clock {
  /** Epoch milliseconds; may jump either way. */
  nowMs(): number
  /** Milliseconds since some fixed point; never goes back. */
  monotonicMs(): number
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason)
        return
      }
      const onAbort = () => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }, ms)
      signal?.addEventListener('abort', onAbort, { once: true })
    }),
}

/**
 * Wall time by `wall`, the rest by `clock`. What one process writes, another one reads: by one clock for all of them, that of the API server,
 * a time means the same to each, however far the clocks of their nodes are off.
 */
export function withWallTime(clock: Clock, wall: Pick<Clock, 'nowMs'>): Clock {
  return {
    nowMs: () => wall.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
  }
}

/**
 * Whether that much time has passed since. Also of what was made more than a day from now: a clock that was ahead wrote that and was set right since,
 * and to wait for its age would be to wait until then.
 */
export function isOlderThan(limitMs: number, sinceMs: number, nowMs: number): boolean {
  return nowMs - sinceMs > limitMs || sinceMs - nowMs > DAY_MS
}

/** RFC 3339 with seconds, as Kubernetes writes its times. */
export function rfc3339(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`
}
