// Says when a transfer must stop: its slice is over, its caller asks for it, or it has failed. Workers see this in shared memory.

import type { Clock } from '#shared/kernel/clock.ts'

/** Value of the flag: data that is in hand is still written. */
const SLICE_OVER = 1
/** Value of the flag: data that has not reached the disk yet is dropped. */
export const URGENT = 2

export class Stopper {
  readonly flag = new SharedArrayBuffer(4)
  readonly #view = new Int32Array(this.flag)
  readonly #done = new AbortController()
  readonly #stopping = new AbortController()
  readonly #signal: AbortSignal

  constructor(clock: Clock, sliceMs: number, signal: AbortSignal) {
    this.#signal = signal
    clock.sleep(sliceMs, this.#done.signal).then(
      () => this.stop(),
      () => {},
    )
    const urge = () => {
      Atomics.store(this.#view, 0, URGENT)
      this.#stopping.abort()
    }
    if (signal.aborted) urge()
    else signal.addEventListener('abort', urge, { signal: this.#done.signal })
  }

  get isStopping(): boolean {
    return Atomics.load(this.#view, 0) !== 0
  }

  /** Aborts as soon as `isStopping` is true: for code that waits. */
  get stopping(): AbortSignal {
    return this.#stopping.signal
  }

  /** True when the caller asked to stop, as opposed to the end of the slice. */
  get isUrgent(): boolean {
    return this.#signal.aborted
  }

  get urgent(): AbortSignal {
    return this.#signal
  }

  stop(): void {
    Atomics.compareExchange(this.#view, 0, 0, SLICE_OVER)
    this.#stopping.abort()
  }

  /** Releases the timer and the caller's signal. */
  dispose(): void {
    this.#done.abort()
  }
}
