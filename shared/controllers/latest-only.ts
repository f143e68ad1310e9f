// Writes of what is replaced by the next one anyway: one at a time, and of what came meanwhile only the newest.

export class LatestOnly<T> {
  readonly #write: (value: T) => Promise<void>
  #running: Promise<void> | undefined
  #next: { value: T } | undefined
  #isEnded = false

  /** `write` never rejects. */
  constructor(write: (value: T) => Promise<void>) {
    this.#write = write
  }

  /** Nothing happens after the end. */
  offer(value: T): void {
    if (this.#isEnded) return
    this.#next = { value }
    this.#running ??= this.#writeAll()
  }

  /** What waits is dropped; resolves when nothing is being written. Safe twice. */
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
