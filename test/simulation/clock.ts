// Virtual time: it stands still until every process waits, then jumps to the next timer.

import type { Clock } from '#shared/kernel/clock.ts'

/** `isLimit`: a time limit, which never makes the clock jump while other timers exist. */
type Timer = { atMs: number; order: number; isLimit: boolean; fire: () => void }

export class VirtualClock implements Clock {
  #nowMs: number
  #timers: Timer[] = []
  #order = 0
  readonly #startMs: number

  constructor(startMs = Date.parse('2026-11-21T00:00:00Z')) {
    this.#nowMs = startMs
    this.#startMs = startMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs - this.#startMs
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#timer(ms, signal, false)
  }

  /** Like sleep, but the clock does not jump ahead only because of it. */
  limit(ms: number, signal: AbortSignal): Promise<void> {
    return this.#timer(ms, signal, true)
  }

  #timer(ms: number, signal: AbortSignal | undefined, isLimit: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason)
        return
      }
      const timer = { atMs: this.#nowMs + ms, order: this.#order++, isLimit, fire: resolve }
      this.#timers.push(timer)
      signal?.addEventListener(
        'abort',
        () => {
          this.#timers = this.#timers.filter((each) => each !== timer)
          reject(signal.reason)
        },
        { once: true },
      )
    })
  }

  /** When the next timer fires, or undefined if there is none. Limits do not count. */
  get nextMs(): number | undefined {
    return earliest(this.#timers.filter(({ isLimit }) => !isLimit))
  }

  /** When the next timer or limit fires. The run uses it when nothing else happens any more. */
  get nextLimitMs(): number | undefined {
    return earliest(this.#timers)
  }

  /** Jumps to `atMs` and fires all timers that are due by then, earliest first. */
  advanceTo(atMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, atMs)
    const due = this.#timers.filter((timer) => timer.atMs <= this.#nowMs)
    this.#timers = this.#timers.filter((timer) => timer.atMs > this.#nowMs)
    for (const timer of due.sort((a, b) => a.atMs - b.atMs || a.order - b.order)) timer.fire()
  }
}

function earliest(timers: readonly Timer[]): number | undefined {
  return timers.length === 0 ? undefined : Math.min(...timers.map(({ atMs }) => atMs))
}
