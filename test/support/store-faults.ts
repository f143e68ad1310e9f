// Stores that fail as real ones do at the worst moment: the process dies at a write, an answer is lost, a call is held back.

import { RetryableError } from '#shared/kernel/errors.ts'
import type { ObjectStore, StoredObject } from '#shared/ports/object-store.ts'

export type WriteHook = (write: {
  n: number
  kind: 'put' | 'delete'
  key: string
}) => Promise<'go on' | 'fail' | 'die before' | 'die after'>

/** Calls the hook at every write. After a death no call returns any more: the process is gone. */
export class HookedStore implements ObjectStore {
  readonly location: string
  readonly #inner: ObjectStore
  readonly #hook: WriteHook
  #writes = 0
  #dead = false

  constructor(inner: ObjectStore, hook: WriteHook) {
    this.#inner = inner
    this.#hook = hook
    this.location = inner.location
  }

  get writes(): number {
    return this.#writes
  }

  get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#alive(() => this.#inner.get(key, signal))
  }

  getRange(key: string, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#alive(() => this.#inner.getRange(key, offset, length, signal))
  }

  putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    return this.#write('put', key, () => this.#inner.putIfAbsent(key, body, signal))
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    for await (const found of this.#inner.list(prefix, signal)) yield await this.#alive(async () => found)
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#write('delete', key, () => this.#inner.delete(key, signal))
  }

  async #write<T>(kind: 'put' | 'delete', key: string, act: () => Promise<T>): Promise<T> {
    this.#check()
    const verdict = await this.#hook({ n: ++this.#writes, kind, key })
    if (verdict === 'fail') throw new RetryableError('StoreBusy', `${kind} ${key}: try again later`)
    if (verdict === 'die before') this.#dead = true
    const answer = await this.#alive(act)
    if (verdict === 'die after') this.#dead = true
    this.#check()
    return answer
  }

  async #alive<T>(act: () => Promise<T>): Promise<T> {
    this.#check()
    const answer = await act()
    this.#check()
    return answer
  }

  #check(): void {
    if (this.#dead) throw new RetryableError('StoreGone', 'this process is dead')
  }
}

/** Dies at write `n`: before it, or after it was carried out and before its answer arrived. */
export function dyingAt(n: number, when: 'die before' | 'die after'): WriteHook {
  return async (write) => (write.n === n ? when : 'go on')
}
