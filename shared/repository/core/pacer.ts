// A limit on bytes per second for all that one mover sends and receives, whatever number of lanes ask at once. What moves is
// charged at once; whoever wants to begin something waits until all that was charged before is paid for by the time.

import type { Clock } from '#shared/kernel/clock.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'

export class Pacer {
  readonly bytesPerSecond: number
  readonly #clock: Clock
  readonly #bytesPerMs: number
  /** When everything that was charged is paid for. Time in which nothing moved is not saved up. */
  #paidAtMs: number
  #last: Promise<void> = Promise.resolve()

  constructor(clock: Clock, bytesPerSecond: number) {
    this.bytesPerSecond = bytesPerSecond
    this.#clock = clock
    this.#bytesPerMs = bytesPerSecond / SECOND_MS
    this.#paidAtMs = clock.monotonicMs()
  }

  /** Moved, or about to move. Negative: less came than was charged. */
  charge(bytes: number): void {
    this.#paidAtMs = Math.max(this.#paidAtMs, this.#clock.monotonicMs()) + bytes / this.#bytesPerMs
  }

  /**
   * One after the other: waits for what was charged before, then calls `begin`, whose charges the next one waits for. As soon as
   * the signal aborts nothing is waited for any more: undefined, and nothing was begun.
   */
  async turn<T>(begin: () => T | Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    const before = this.#last
    const { promise, resolve: leave } = Promise.withResolvers<void>()
    this.#last = promise
    let begun: T | Promise<T> | undefined
    try {
      await before
      if (await this.#isPaid(signal)) begun = begin()
    } finally {
      leave()
    }
    return await begun
  }

  async #isPaid(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      const waitMs = this.#paidAtMs - this.#clock.monotonicMs()
      if (waitMs <= 0) return true
      await this.#clock.sleep(Math.ceil(waitMs), signal).catch(() => {})
    }
    return false
  }
}
