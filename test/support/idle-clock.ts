// A clock that stands still while any code runs, and jumps to the next sleeper otherwise: hours of waiting take no time.

import type { Clock } from '#shared/kernel/clock.ts'

type Sleeper = { atMs: number; wake: () => void }

/** Only for work without threads, files and sockets: waiting for those looks like idleness. */
export class IdleClock implements Clock {
  #ms = 0
  #sleepers: Sleeper[] = []
  #isWatching = false

  nowMs(): number {
    return 1_700_000_000_000 + this.#ms
  }

  monotonicMs(): number {
    return this.#ms
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason)
        return
      }
      const abort = () => {
        this.#sleepers = this.#sleepers.filter((each) => each !== sleeper)
        reject(signal?.reason)
      }
      const wake = () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      }
      const sleeper = { atMs: this.#ms + ms, wake }
      this.#sleepers.push(sleeper)
      signal?.addEventListener('abort', abort, { once: true })
      this.#watch()
    })
  }

  #watch(): void {
    if (this.#isWatching) return
    this.#isWatching = true
    setImmediate(() => {
      this.#isWatching = false
      this.#sleepers.sort((one, other) => one.atMs - other.atMs)
      const next = this.#sleepers.shift()
      if (next === undefined) return
      this.#ms = Math.max(this.#ms, next.atMs)
      next.wake()
      this.#watch()
    })
  }
}
