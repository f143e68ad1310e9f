// Decides when a checkpoint is due in the middle of a slice. At most one checkpoint is written at a time.

import type { Clock } from '#shared/kernel/clock.ts'
import { MiB, SECOND_MS } from '#shared/kernel/units.ts'

const AFTER_MS = 15 * SECOND_MS
const AFTER_BYTES = 256 * MiB
/** Without this minimum, a fast store would receive little but checkpoints. */
const LEAST_MS = 2 * SECOND_MS

export class CheckpointCadence {
  readonly #clock: Clock
  readonly #write: () => Promise<void>
  #lastMs: number
  #lastBytes: number
  #running: Promise<void> | undefined

  constructor(clock: Clock, bytesStored: number, write: () => Promise<void>) {
    this.#clock = clock
    this.#write = write
    this.#lastMs = clock.monotonicMs()
    this.#lastBytes = bytesStored
  }

  /** Called whenever something became durable. */
  tick(bytesStored: number, onError: (error: unknown) => void): void {
    const nowMs = this.#clock.monotonicMs()
    const passedMs = nowMs - this.#lastMs
    if (this.#running !== undefined || passedMs < LEAST_MS) return
    if (passedMs < AFTER_MS && bytesStored - this.#lastBytes < AFTER_BYTES) return
    this.#running = this.#write()
      .catch(onError)
      .finally(() => {
        this.#running = undefined
        this.#lastMs = this.#clock.monotonicMs()
        this.#lastBytes = bytesStored
      })
  }

  /** Waits for the checkpoint that is being written. */
  async settle(): Promise<void> {
    await this.#running
  }
}
