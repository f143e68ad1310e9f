// A store whose calls each take a moment of a clock: a slice then fits a number of calls, the same on every machine.

import type { Clock } from '#shared/kernel/clock.ts'
import type { ObjectStore, StoredObject } from '#shared/ports/object-store.ts'

const PAGE_OBJECTS = 1000

/** Time passes only by calls. */
export class CallClock implements Clock {
  calls = 0
  readonly #callMs: number
  constructor(callMs = 1) {
    this.#callMs = callMs
  }
  tick(): void {
    this.calls++
  }
  monotonicMs(): number {
    return this.calls * this.#callMs
  }
  nowMs(): number {
    return 1_700_000_000_000 + this.monotonicMs()
  }
  async sleep(ms: number): Promise<void> {
    this.calls += Math.ceil(ms / this.#callMs)
  }
}

export class TickingStore implements ObjectStore {
  readonly location: string
  readonly #inner: ObjectStore
  readonly #tick: (what: string) => void

  constructor(inner: ObjectStore, tick: (what: string) => void) {
    this.#inner = inner
    this.#tick = tick
    this.location = inner.location
  }

  async get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    this.#tick(`get ${key}`)
    return await this.#inner.get(key, signal)
  }

  async getRange(key: string, at: number, bytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    this.#tick(`get part of ${key}`)
    return await this.#inner.getRange(key, at, bytes, signal)
  }

  async putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    this.#tick(`put ${key}`)
    return await this.#inner.putIfAbsent(key, body, signal)
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    let listed = 0
    for await (const object of this.#inner.list(prefix, signal)) {
      if (listed++ % PAGE_OBJECTS === 0) this.#tick(`list ${prefix}`)
      yield object
    }
    if (listed === 0) this.#tick(`list ${prefix}`)
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    this.#tick(`delete ${key}`)
    await this.#inner.delete(key, signal)
  }
}
