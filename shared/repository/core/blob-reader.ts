// Reads from packs with ranged GETs: single blobs (map pages, index segments), and runs of chunks for a restore.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { KiB } from '#shared/kernel/units.ts'
import type { BlobLocation } from '#shared/repository/format/location-table.ts'
import { packKey } from '#shared/repository/format/names.ts'
import { BLOB_REASONS, type BlobKind, PACK_HEADER_BYTES, PackReader } from '#shared/repository/format/pack.ts'
import type { Repository } from './repository.ts'

/** A blob that begins before this offset is read together with the pack's header in one request. */
const NEAR_HEADER_BYTES = 256 * KiB
const KEPT_HEADERS = 4096

/** Part of a pack: `bytes` start at `offset` within the pack. `header` is the pack's own header. */
export type PackPart = { header: Uint8Array; offset: number; bytes: Uint8Array }

export class BlobReader {
  readonly #repository: Repository
  readonly #signal: AbortSignal | undefined
  readonly #headers = new Map<string, Promise<Uint8Array>>()
  /** Bytes received from the store. */
  bytesReceived = 0

  constructor(repository: Repository, signal?: AbortSignal) {
    this.#repository = repository
    this.#signal = signal
  }

  /** Returns the blob's raw bytes. CorruptionError: the blob is missing, or is not what was sealed. */
  async read(kind: BlobKind, location: BlobLocation): Promise<Uint8Array> {
    const { header, offset, bytes } = await this.readPart(kind, location, location.offset, location.storedBytes)
    const from = location.offset - offset
    const reader = new PackReader(this.#repository.keys, header, this.where(location))
    return reader.open(kind, location, bytes.subarray(from, from + location.storedBytes))
  }

  /** Reads a run of blobs. `location` is one of them and appears in error messages. The returned part may begin before `offset`. */
  async readPart(kind: BlobKind, location: BlobLocation, offset: number, lengthBytes: number): Promise<PackPart> {
    const known = this.#headers.get(location.pack)
    if (known === undefined && offset <= NEAR_HEADER_BYTES) {
      const bytes = await this.#range(kind, location, 0, offset + lengthBytes)
      const header = Uint8Array.from(bytes.subarray(0, PACK_HEADER_BYTES)) // a copy: a Buffer's own slice() returns a view
      void this.#keep(location.pack, Promise.resolve(header))
      return { header, offset: 0, bytes }
    }
    const [header, bytes] = await Promise.all([
      known ?? this.#keep(location.pack, this.#range(kind, location, 0, PACK_HEADER_BYTES)),
      this.#range(kind, location, offset, lengthBytes),
    ])
    return { header, offset, bytes }
  }

  where(location: BlobLocation): string {
    return `${this.#repository.store.location}/${packKey(location.pack)}`
  }

  async #range(kind: BlobKind, location: BlobLocation, offset: number, bytes: number): Promise<Uint8Array> {
    const found = await this.#repository.store.getRange(packKey(location.pack), offset, bytes, this.#signal)
    if (found === undefined) {
      const name = `${kind} ${Buffer.from(location.id).toString('hex')}`
      throw new CorruptionError(BLOB_REASONS[kind].missing, `${name}: there is no pack ${this.where(location)}`)
    }
    this.bytesReceived += found.length
    return found
  }

  #keep(pack: string, header: Promise<Uint8Array>): Promise<Uint8Array> {
    const oldest = this.#headers.keys().next()
    if (this.#headers.size >= KEPT_HEADERS && oldest.done !== true) this.#headers.delete(oldest.value)
    this.#headers.set(pack, header)
    // A failed request must not stay in the cache. Callers that already wait for it receive the error.
    header.catch(() => this.#headers.delete(pack))
    return header
  }
}
