// When a transfer is to stop: its slice is over, its caller says so, or it has failed. Workers see it in shared memory.

import type { Clock } from '#shared/kernel/clock.ts'

export class Stopper {
  readonly flag = new SharedArrayBuffer(4)
  readonly #view = new Int32Array(this.flag)
  readonly #done = new AbortController()
  readonly #signal: AbortSignal

  constructor(clock: Clock, sliceMs: number, signal: AbortSignal) {
    this.#signal = signal
    const stop = () => this.stop()
    clock.sleep(sliceMs, this.#done.signal).then(stop, () => {})
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { signal: this.#done.signal })
  }

  get isStopping(): boolean {
    return Atomics.load(this.#view, 0) !== 0
  }

  /** The caller's own wish, as against the end of the slice. */
  get isUrgent(): boolean {
    return this.#signal.aborted
  }

  stop(): void {
    Atomics.store(this.#view, 0, 1)
  }

  /** Lets go of the timer and of the caller's signal. */
  dispose(): void {
    this.#done.abort()
  }
}
