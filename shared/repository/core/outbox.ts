// Packs on their way to the store. The first failure stops the transfer. A pack counts only once it is durable.

import { asError, ConflictError } from '#shared/kernel/errors.ts'
import type { UploadProgress } from '#shared/ports/mover.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { packKey } from '#shared/repository/format/names.ts'
import { putOnce } from './put-once.ts'

export class Outbox {
  readonly #store: ObjectStore
  readonly #stats: UploadProgress
  readonly #failed = new AbortController()
  readonly #sending = new Set<Promise<void>>()

  constructor(store: ObjectStore, stats: UploadProgress) {
    this.#store = store
    this.#stats = stats
  }

  /** Aborted with the error that ended the transfer. */
  get failure(): AbortSignal {
    return this.#failed.signal
  }

  fail(error: unknown): void {
    if (!this.failure.aborted) this.#failed.abort(asError(error))
  }

  /** Sends a pack. `onDurable` runs once the pack is in the store; an error that it throws fails the transfer. */
  send(ref: string, bytes: Uint8Array, onDurable: () => void): void {
    const sending = this.#put(ref, bytes)
      .then(onDurable)
      .catch((error: unknown) => this.fail(error))
      .finally(() => this.#sending.delete(sending))
    this.#sending.add(sending)
  }

  /** Waits until nothing is in flight; throws the first failure. */
  async settle(): Promise<void> {
    while (this.#sending.size > 0) await Promise.all(this.#sending)
    this.failure.throwIfAborted()
  }

  /** Puts an object that is not a pack. Its bytes count as sent. */
  async put(key: string, bytes: Uint8Array): Promise<'ours' | 'theirs'> {
    const whose = await putOnce(this.#store, key, bytes, this.failure)
    this.#stats.bytesSent += bytes.length
    return whose
  }

  async #put(ref: string, bytes: Uint8Array): Promise<void> {
    this.failure.throwIfAborted()
    if ((await this.put(packKey(ref), bytes)) === 'theirs') {
      throw new ConflictError('PackTaken', `${this.#store.location}/${packKey(ref)} exists and is not ours`)
    }
    this.#stats.bytesStored += bytes.length
  }
}
