// A repository's store that charges all bytes that it moves to a Pacer. The store itself never waits: it does not delay the data in
// flight at the end of a slice, nor small objects in between. Only work that begins later waits.

import type { IncompleteUploads, ObjectStore, StoredObject } from '#shared/ports/object-store.ts'
import type { Pacer } from './pacer.ts'

export class PacedStore implements ObjectStore {
  readonly location: string
  readonly incompleteUploads: IncompleteUploads | undefined
  readonly #inner: ObjectStore
  readonly #pacer: Pacer

  constructor(inner: ObjectStore, pacer: Pacer) {
    this.#inner = inner
    this.#pacer = pacer
    this.location = inner.location
    this.incompleteUploads = inner.incompleteUploads
  }

  async get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const bytes = await this.#inner.get(key, signal)
    this.#pacer.charge(bytes?.length ?? 0)
    return bytes
  }

  /** The length is charged before the request begins, so that many concurrent requests do not all find the limit unused. */
  async getRange(key: string, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    this.#pacer.charge(length)
    const bytes = await this.#inner.getRange(key, offset, length, signal)
    this.#pacer.charge((bytes?.length ?? 0) - length)
    return bytes
  }

  async putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    this.#pacer.charge(body.length)
    return await this.#inner.putIfAbsent(key, body, signal)
  }

  list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    return this.#inner.list(prefix, signal)
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#inner.delete(key, signal)
  }
}
