// Packs of map pages and index segments. The main thread fills them, while the lanes fill packs of chunks.

import { randomBytes } from 'node:crypto'
import { MiB } from '#shared/kernel/units.ts'
import { ChunkCodec } from '#shared/repository/format/compression.ts'
import type { BlobLocation } from '#shared/repository/format/location-table.ts'
import { PackBuilder, packBlob, packOverheadBytes } from '#shared/repository/format/pack.ts'
import type { RepositoryKeys } from '#shared/repository/format/repository-keys.ts'
import type { Outbox } from './outbox.ts'

const MOST_PACK_BYTES = 4 * MiB
/** Pages wait in memory until their pack is durable, so they must not wait for a full pack. */
const MOST_BLOBS = 16

type Waiting = { location: BlobLocation; onDurable: (location: BlobLocation) => void }

export class MetaPacks {
  readonly #keys: RepositoryKeys
  readonly #session: string
  readonly #outbox: Outbox
  readonly #packBytes: number
  readonly #codec = new ChunkCodec()
  #pack: PackBuilder | undefined
  #waiting: Waiting[] = []

  constructor(keys: RepositoryKeys, session: string, outbox: Outbox, packBytes: number) {
    this.#keys = keys
    this.#session = session
    this.#outbox = outbox
    this.#packBytes = Math.min(MOST_PACK_BYTES, packBytes)
  }

  append(kind: 'page' | 'segment', id: Uint8Array, raw: Uint8Array, onDurable: Waiting['onDurable']): void {
    const blob = packBlob(raw, this.#codec)
    this.#pack ??= this.#begin(blob.bytes.length)
    if (!this.#pack.append(kind, id, blob)) {
      this.sendPack()
      this.#pack = this.#begin(blob.bytes.length)
      if (!this.#pack.append(kind, id, blob)) throw new RangeError(`${kind} of ${raw.length} bytes fits no pack`)
    }
    const location = this.#pack.blobs.at(-1)
    if (location !== undefined) this.#waiting.push({ location, onDurable })
    if (this.#waiting.length >= MOST_BLOBS) this.sendPack()
  }

  /** Sends the current pack, if there is one; `outbox.settle` waits for it. */
  sendPack(): void {
    const pack = this.#pack
    if (pack === undefined) return
    const waiting = this.#waiting
    this.#pack = undefined
    this.#waiting = []
    this.#outbox.send(pack.ref, pack.finish(), () => {
      for (const { location, onDurable } of waiting) onDurable(location)
    })
  }

  #begin(firstBytes: number): PackBuilder {
    const ref = `${this.#session}/${randomBytes(8).toString('hex')}`
    return new PackBuilder(
      this.#keys,
      ref,
      Buffer.allocUnsafe(Math.max(this.#packBytes, firstBytes + packOverheadBytes(1))),
    )
  }
}
