// A limit on bytes per second for everything that one mover sends and receives, however many lanes ask at once. Bytes that move are
// charged immediately; a caller that wants to begin something waits until enough time has passed to pay for all earlier charges.

import type { Clock } from '#shared/kernel/clock.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'

export class Pacer {
  readonly bytesPerSecond: number
  readonly #clock: Clock
  readonly #bytesPerMs: number
  /** The time at which everything that was charged is paid for. Idle time is not saved up. */
  #paidAtMs: number
  #last: Promise<void> = Promise.resolve()

  constructor(clock: Clock, bytesPerSecond: number) {
    this.bytesPerSecond = bytesPerSecond
    this.#clock = clock
    this.#bytesPerMs = bytesPerSecond / SECOND_MS
    this.#paidAtMs = clock.monotonicMs()
  }

  /** Charges bytes that moved, or are about to move. Negative: fewer bytes came than were charged. */
  charge(bytes: number): void {
    this.#paidAtMs = Math.max(this.#paidAtMs, this.#clock.monotonicMs()) + bytes / this.#bytesPerMs
  }

  /**
   * Callers take turns. Each waits until the earlier charges are paid for and then calls `begin`, whose charges the next caller waits
   * for. When the signal aborts, the wait ends: the result is undefined, and `begin` was not called.
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
