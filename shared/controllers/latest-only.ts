// Serialises writes where each one replaces the previous: one write runs at a time, and of the values offered meanwhile only the newest is
// written.

export class LatestOnly<T> {
  readonly #write: (value: T) => Promise<void>
  #running: Promise<void> | undefined
  #next: { value: T } | undefined
  #isEnded = false

  /** `write` must not reject. */
  constructor(write: (value: T) => Promise<void>) {
    this.#write = write
  }

  /** Does nothing after `end`. */
  offer(value: T): void {
    if (this.#isEnded) return
    this.#next = { value }
    this.#running ??= this.#writeAll()
  }

  /** Drops the waiting value and resolves when no write is running. Idempotent. */
  async end(): Promise<void> {
    this.#isEnded = true
    this.#next = undefined
    await this.#running
  }

  async #writeAll(): Promise<void> {
    while (this.#next !== undefined) {
      const { value } = this.#next
      this.#next = undefined
      await this.#write(value)
    }
    this.#running = undefined
  }
}
