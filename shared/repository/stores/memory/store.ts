// An object store in memory that behaves like the real ones: it passes the same contract suite, and copies bytes in and out.

import type { IncompleteUpload, IncompleteUploads, ObjectStore, StoredObject } from '#shared/ports/object-store.ts'

type Entry = { body: Uint8Array; modifiedMs: number }

export class MemoryObjectStore implements ObjectStore {
  readonly location: string
  /** The objects. Tests inspect the map, and share it between stores that represent several processes. */
  readonly objects: Map<string, Entry>
  /** Unfinished uploads, which only tests put here: a PUT into a map never stays unfinished. */
  readonly incomplete: IncompleteUpload[] = []
  readonly incompleteUploads: IncompleteUploads = {
    list: (signal) => this.#listIncomplete(signal),
    abort: (upload, signal) => this.#abortIncomplete(upload, signal),
  }
  readonly #nowMs: () => number

  constructor(options: { location?: string; objects?: Map<string, Entry>; nowMs?: () => number } = {}) {
    this.location = options.location ?? 'memory://store'
    this.objects = options.objects ?? new Map()
    this.#nowMs = options.nowMs ?? Date.now
  }

  async get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    signal?.throwIfAborted()
    const entry = this.objects.get(key)
    return entry === undefined ? undefined : entry.body.slice()
  }

  async getRange(
    key: string,
    offsetBytes: number,
    lengthBytes: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    signal?.throwIfAborted()
    return this.objects.get(key)?.body.slice(offsetBytes, offsetBytes + lengthBytes)
  }

  async putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted()
    if (this.objects.has(key)) return false
    this.objects.set(key, { body: Uint8Array.from(body), modifiedMs: this.#nowMs() })
    return true
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    for (const key of [...this.objects.keys()].filter((name) => name.startsWith(prefix)).sort()) {
      signal?.throwIfAborted()
      const entry = this.objects.get(key)
      if (entry !== undefined) yield { key, bytes: entry.body.length, modifiedMs: entry.modifiedMs }
    }
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    this.objects.delete(key)
  }

  async *#listIncomplete(signal?: AbortSignal): AsyncIterable<IncompleteUpload> {
    for (const upload of [...this.incomplete]) {
      signal?.throwIfAborted()
      yield { ...upload }
    }
  }

  async #abortIncomplete({ key, id }: IncompleteUpload, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    const at = this.incomplete.findIndex((upload) => upload.key === key && upload.id === id)
    if (at !== -1) this.incomplete.splice(at, 1)
  }
}
