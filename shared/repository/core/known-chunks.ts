// Chunks that the repository already holds, as far as memory allows: a table of fixed size that evicts entries at random.

import { asBuffer } from '#shared/repository/format/bytes.ts'
import type { BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import { ID_BYTES } from '#shared/repository/format/version.ts'

const WAYS = 8
/** Words of an entry: id 4, pack number + 1 (0: free), offset, stored bytes, raw bytes. */
const WORDS = 8
const COMPRESSED_BIT = 0x8000_0000

/**
 * A hash table with buckets of eight entries. Ids are uniformly distributed, so their first word serves as the hash. A full bucket evicts
 * one of its entries: an evicted chunk is stored once more, which costs space and never correctness.
 */
export class KnownChunks {
  readonly #words: Uint32Array
  readonly #bucketMask: number
  #packs: string[] = []
  #packNumbers = new Map<string, number>()
  #victim = 0
  size = 0

  /** `entries` is rounded up to a power of two. */
  constructor(entries: number) {
    const buckets = 2 ** Math.max(0, Math.ceil(Math.log2(entries / WAYS)))
    this.#bucketMask = buckets - 1
    this.#words = new Uint32Array(buckets * WAYS * WORDS)
  }

  get capacity(): number {
    return this.#words.length / WORDS
  }

  find(ids: Uint8Array, at: number): BlobLocation | undefined {
    const id = asBuffer(ids).subarray(at, at + ID_BYTES)
    const entry = this.#slotOf(id)
    if (entry === undefined) return undefined
    const words = this.#words
    const raw = words[entry + 7] ?? 0
    return {
      id,
      pack: this.#packs[(words[entry + 4] ?? 0) - 1] ?? '',
      offset: words[entry + 5] ?? 0,
      storedBytes: words[entry + 6] ?? 0,
      rawBytes: raw & ~COMPRESSED_BIT,
      compressed: (raw & COMPRESSED_BIT) !== 0,
    }
  }

  /** Adds the chunk unless it is already in the table: the older location is as good. */
  add(location: BlobLocation): void {
    const id = asBuffer(location.id)
    if (this.#slotOf(id) !== undefined) return
    const entry = this.#freeSlot(id)
    for (let word = 0; word < 4; word++) this.#words[entry + word] = id.readUInt32LE(word * 4)
    this.#words[entry + 4] = this.#packNumber(location.pack) + 1
    this.#words[entry + 5] = location.offset
    this.#words[entry + 6] = location.storedBytes
    this.#words[entry + 7] = location.rawBytes | (location.compressed ? COMPRESSED_BIT : 0)
  }

  /** Adds all entries of a table except those in packs that must not be reused. */
  addAll(table: LocationTable, isRetired: (pack: string) => boolean): void {
    for (let index = 0; index < table.length; index++) {
      const location = table.get(index)
      if (location !== undefined && !isRetired(location.pack)) this.add(location)
    }
  }

  #slotOf(id: Buffer): number | undefined {
    const [a, b, c, d] = [id.readUInt32LE(0), id.readUInt32LE(4), id.readUInt32LE(8), id.readUInt32LE(12)]
    const words = this.#words
    const bucket = (a & this.#bucketMask) * WAYS * WORDS
    for (let entry = bucket; entry < bucket + WAYS * WORDS; entry += WORDS) {
      if (words[entry] !== a || words[entry + 1] !== b || words[entry + 2] !== c || words[entry + 3] !== d) continue
      if (words[entry + 4] !== 0) return entry
    }
    return undefined
  }

  #freeSlot(id: Buffer): number {
    const bucket = (id.readUInt32LE(0) & this.#bucketMask) * WAYS * WORDS
    for (let entry = bucket; entry < bucket + WAYS * WORDS; entry += WORDS) {
      if (this.#words[entry + 4] === 0) {
        this.size++
        return entry
      }
    }
    this.#victim = (this.#victim + 1) % WAYS
    return bucket + this.#victim * WORDS
  }

  #packNumber(pack: string): number {
    const known = this.#packNumbers.get(pack)
    if (known !== undefined) return known
    if (this.#packs.length >= this.mostPacks) this.#forgetUnusedPacks()
    const number = this.#packs.push(pack) - 1
    this.#packNumbers.set(pack, number)
    return number
  }

  /** Pack names take memory as well: the table keeps at most one name for eight entries. */
  get mostPacks(): number {
    return Math.max(1024, this.capacity / WAYS)
  }

  #forgetUnusedPacks(): void {
    const old = this.#packs
    this.#packs = []
    this.#packNumbers = new Map()
    for (let entry = 0; entry < this.#words.length; entry += WORDS) {
      const name = old[(this.#words[entry + 4] ?? 0) - 1]
      if (name === undefined) continue
      // Frees half of the room. Otherwise the next few names would start this pass again and again.
      if (this.#packs.length > this.mostPacks / 2 && !this.#packNumbers.has(name)) this.#words[entry + 4] = 0
      else this.#words[entry + 4] = this.#packNumber(name) + 1
    }
  }
}
