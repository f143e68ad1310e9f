// Where blobs (chunks, map pages, index segments) are stored: 32-byte entries beside a table of the packs that they name. Leaf pages, the
// root's list of pages and index runs are all tables of this form.

import { asBuffer } from './bytes.ts'
import { decodePackRef, encodePackRef, PACK_REF_BYTES } from './names.ts'
import { ID_BYTES } from './version.ts'

const ENTRY_BYTES = 32
const PACK_AT = 16
const OFFSET_AT = 20
const STORED_AT = 24
const RAW_AT = 28
const COMPRESSED_BIT = 0x8000_0000

/** `storedBytes` includes the AEAD's tag; `pack` is `<session>/<16 hex>`. */
export type BlobLocation = {
  id: Uint8Array
  pack: string
  offset: number
  storedBytes: number
  rawBytes: number
  compressed: boolean
}

/** A fixed number of entries. An entry that is all zero means "zeros" (a chunk) or "nothing" (a page). */
export class LocationTable {
  readonly length: number
  readonly packs: string[] = []
  readonly #bytes: Buffer
  readonly #packIndex = new Map<string, number>()

  constructor(length: number, bytes: Buffer = Buffer.alloc(length * ENTRY_BYTES)) {
    this.length = length
    this.#bytes = bytes
  }

  static from(locations: readonly BlobLocation[]): LocationTable {
    const table = new LocationTable(locations.length)
    for (const [index, location] of locations.entries()) table.set(index, location)
    return table
  }

  isEmpty(index: number): boolean {
    // No blob starts at offset 0 of its pack, because the pack's header is there.
    return this.#bytes.readUInt32LE(index * ENTRY_BYTES + OFFSET_AT) === 0
  }

  get(index: number): BlobLocation | undefined {
    if (this.isEmpty(index)) return undefined
    const at = index * ENTRY_BYTES
    const raw = this.#bytes.readUInt32LE(at + RAW_AT)
    return {
      id: this.#bytes.subarray(at, at + ID_BYTES),
      pack: this.packOf(index),
      offset: this.#bytes.readUInt32LE(at + OFFSET_AT),
      storedBytes: this.#bytes.readUInt32LE(at + STORED_AT),
      rawBytes: raw & ~COMPRESSED_BIT,
      compressed: (raw & COMPRESSED_BIT) !== 0,
    }
  }

  /** Number of the entry's pack in `packs`. */
  packNumber(index: number): number {
    return this.#bytes.readUInt32LE(index * ENTRY_BYTES + PACK_AT)
  }

  packOf(index: number): string {
    const pack = this.packs[this.packNumber(index)]
    if (pack === undefined) throw new RangeError(`entry ${index} names pack ${this.packNumber(index)}`)
    return pack
  }

  /** Whether the entry's id equals the 16 bytes at `at`. */
  hasId(index: number, ids: Uint8Array, at: number): boolean {
    const own = index * ENTRY_BYTES
    return this.#bytes.compare(ids, at, at + ID_BYTES, own, own + ID_BYTES) === 0 && !this.isEmpty(index)
  }

  set(index: number, location: BlobLocation): void {
    const at = index * ENTRY_BYTES
    this.#bytes.set(location.id.subarray(0, ID_BYTES), at)
    this.#bytes.writeUInt32LE(this.#numberOf(location.pack), at + PACK_AT)
    this.#bytes.writeUInt32LE(location.offset, at + OFFSET_AT)
    this.#bytes.writeUInt32LE(location.storedBytes, at + STORED_AT)
    this.#bytes.writeUInt32LE((location.rawBytes | (location.compressed ? COMPRESSED_BIT : 0)) >>> 0, at + RAW_AT)
  }

  clear(index: number): void {
    this.#bytes.fill(0, index * ENTRY_BYTES, (index + 1) * ENTRY_BYTES)
  }

  /** Copies an entry of another table, also an empty one. */
  copy(index: number, from: LocationTable, fromIndex: number): void {
    const location = from.get(fromIndex)
    if (location === undefined) this.clear(index)
    else this.set(index, location)
  }

  /** Makes the table empty, as if it were new. */
  reset(): void {
    this.#bytes.fill(0)
    this.packs.length = 0
    this.#packIndex.clear()
  }

  /** The least length of each of `packs`. */
  packEnds(): Float64Array {
    const ends = new Float64Array(this.packs.length)
    for (let index = 0; index < this.length; index++) {
      if (this.isEmpty(index)) continue
      const at = index * ENTRY_BYTES
      const pack = this.packNumber(index)
      const end = this.#bytes.readUInt32LE(at + OFFSET_AT) + this.#bytes.readUInt32LE(at + STORED_AT)
      if (end > (ends[pack] ?? 0)) ends[pack] = end
    }
    return ends
  }

  isAllEmpty(): boolean {
    for (let index = 0; index < this.length; index++) if (!this.isEmpty(index)) return false
    return true
  }

  /** Order of the entries by id, as index runs are sorted. */
  idOrder(count: number): number[] {
    const idAt = (index: number) => this.#bytes.subarray(index * ENTRY_BYTES, index * ENTRY_BYTES + ID_BYTES)
    return Array.from({ length: count }, (_, index) => index).sort((a, b) => idAt(a).compare(idAt(b)))
  }

  /**
   * entry count 4 | pack count 4 | pack references 34 each | entries 32 each. Packs are listed in the order of their first use, and only
   * if they are used, so that equal maps have equal bytes and therefore equal ids.
   */
  encode(count = this.length): Buffer {
    const entries = Buffer.from(this.#bytes.subarray(0, count * ENTRY_BYTES))
    const used: string[] = []
    const renumbered = new Map<number, number>()
    for (let index = 0; index < count; index++) {
      if (this.isEmpty(index)) continue
      const old = this.packNumber(index)
      let fresh = renumbered.get(old)
      if (fresh === undefined) {
        fresh = used.push(this.packOf(index)) - 1
        renumbered.set(old, fresh)
      }
      entries.writeUInt32LE(fresh, index * ENTRY_BYTES + PACK_AT)
    }
    const head = Buffer.alloc(8 + used.length * PACK_REF_BYTES)
    head.writeUInt32LE(count, 0)
    head.writeUInt32LE(used.length, 4)
    for (const [number, pack] of used.entries()) encodePackRef(pack, head, 8 + number * PACK_REF_BYTES)
    return Buffer.concat([head, entries])
  }

  /** Throws RangeError when the bytes are no table. Every entry of the result names a pack that is listed. */
  static decode(bytes: Uint8Array): LocationTable {
    const all = asBuffer(bytes)
    const count = all.readUInt32LE(0)
    const packCount = all.readUInt32LE(4)
    const entriesAt = 8 + packCount * PACK_REF_BYTES
    if (all.length !== entriesAt + count * ENTRY_BYTES) {
      throw new RangeError(`${all.length} bytes do not hold ${count} entries and ${packCount} packs`)
    }
    const table = new LocationTable(count, Buffer.from(all.subarray(entriesAt)))
    for (let number = 0; number < packCount; number++) {
      if (table.#numberOf(decodePackRef(all, 8 + number * PACK_REF_BYTES)) !== number) {
        throw new RangeError(`pack ${number} is listed twice`)
      }
    }
    for (let index = 0; index < count; index++) {
      if (!table.isEmpty(index) && table.packNumber(index) >= packCount) {
        throw new RangeError(`entry ${index} names pack ${table.packNumber(index)} of ${packCount}`)
      }
    }
    return table
  }

  #numberOf(pack: string): number {
    const known = this.#packIndex.get(pack)
    if (known !== undefined) return known
    const number = this.packs.push(pack) - 1
    this.#packIndex.set(pack, number)
    return number
  }
}
