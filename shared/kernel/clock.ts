// The only place that reads time. Wall time is for users (statuses, names); monotonic time is for leases and deadlines.

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
 * Wall time by `wall`, the rest by `clock`. Processes read times that other processes wrote. If all of them use one clock, that of the API
 * server, a time means the same to each, however far the clocks of their nodes differ.
 */
export function withWallTime(clock: Clock, wall: Pick<Clock, 'nowMs'>): Clock {
  return {
    nowMs: () => wall.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
  }
}

/**
 * Whether that much time has passed since. Also true for a time more than a day in the future: a clock that was ahead has written it and was
 * corrected since, and waiting for its age would mean waiting until then.
 */
export function isOlderThan(limitMs: number, sinceMs: number, nowMs: number): boolean {
  return nowMs - sinceMs > limitMs || sinceMs - nowMs > DAY_MS
}

/** RFC 3339 with seconds, as Kubernetes writes its times. */
export function rfc3339(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`
}
