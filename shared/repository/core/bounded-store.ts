// Bounds what readers take from a repository's store. An attacker who can write to the bucket can put objects of any size and number into
// it, and everything that is read whole or listed must fit into the memory of a small function.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { KiB, MiB } from '#shared/kernel/units.ts'
import type { IncompleteUploads, ObjectStore, StoredObject } from '#shared/ports/object-store.ts'
import { flooded, folderOf, mostNames } from '#shared/ports/repository-bounds.ts'
import { MOST_CONFIG_BYTES } from '#shared/repository/format/repository-config.ts'

/** The largest object of each kind that Dormouse writes, for disks of 64 TiB in chunks of 256 KiB, with some margin (docs/format). */
const MOST_BYTES: Record<string, { bytes: number; reason: string }> = {
  config: { bytes: MOST_CONFIG_BYTES, reason: 'RepositoryConfigCorrupt' },
  roots: { bytes: 8 * MiB, reason: 'RootCorrupt' },
  index: { bytes: 8 * MiB, reason: 'IndexCorrupt' },
  session: { bytes: 64 * KiB, reason: 'SessionCorrupt' },
  // One bit for each chunk of the disk.
  checkpoint: { bytes: 64 * MiB, reason: 'CheckpointCorrupt' },
  retire: { bytes: 4 * MiB, reason: 'RetireListCorrupt' },
  doom: { bytes: 4 * MiB, reason: 'RetireListCorrupt' },
  waits: { bytes: 8 * MiB, reason: 'RetireListCorrupt' },
}
const MOST_OTHER = { bytes: 64 * MiB, reason: 'PackCorrupt' }

export function boundedStore(store: ObjectStore): ObjectStore {
  return store instanceof BoundedStore ? store : new BoundedStore(store)
}

class BoundedStore implements ObjectStore {
  readonly location: string
  readonly incompleteUploads: IncompleteUploads | undefined
  readonly #inner: ObjectStore

  constructor(inner: ObjectStore) {
    this.#inner = inner
    this.location = inner.location
    this.incompleteUploads = inner.incompleteUploads
  }

  /** Throws CorruptionError when the object is larger than any object of its kind; it reads no more than that limit plus one byte. */
  async get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const { bytes: mostBytes, reason } = MOST_BYTES[folderOf(key)] ?? MOST_OTHER
    const bytes = await this.#inner.getRange(key, 0, mostBytes + 1, signal)
    if (bytes === undefined || bytes.length <= mostBytes) return bytes
    throw new CorruptionError(
      reason,
      `${this.location}/${key} is larger than ${mostBytes} bytes: Dormouse did not write it`,
    )
  }

  getRange(key: string, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#inner.getRange(key, offset, length, signal)
  }

  putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    return this.#inner.putIfAbsent(key, body, signal)
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    const most = mostNames(prefix)
    let count = 0
    for await (const object of this.#inner.list(prefix, signal)) {
      if (++count > most) throw flooded(`${this.location}/${prefix}`, `more than ${most} objects`)
      yield object
    }
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#inner.delete(key, signal)
  }
}
