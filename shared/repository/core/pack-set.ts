// Packs of one session, for instance those that a map names, with the size that each must have: 12 bytes of memory for each.

import { isPackRef, packKey } from '#shared/repository/format/names.ts'

const FIRST_ROOM = 64

/** Names are 8 random bytes. They are kept as numbers in a hash table with open addressing. */
export class PackSet {
  readonly #session: string
  #names = new BigUint64Array(FIRST_ROOM)
  #needed = new Uint32Array(FIRST_ROOM)
  #size = 0

  constructor(session: string) {
    this.#session = session
  }

  /** Adds one of the session's packs, which must have at least `bytes` bytes. */
  add(pack: string, bytes: number): void {
    if (this.#size * 4 >= this.#names.length * 3) this.#grow()
    const at = this.#place(this.#nameOf(pack))
    this.#needed[at] = Math.max(this.#needed[at] ?? 0, bytes)
  }

  /**
   * Takes a key that a LIST showed below the session's packs. The pack is no longer missing if it is long enough. Other programs may have
   * put other keys there, such as a marker of a folder, or a deeper key that ends like a pack's name.
   */
  found(key: string, bytes: number): void {
    const pack = key.slice(packKey('').length)
    if (!isPackRef(pack)) return
    const at = this.#search(this.#nameOf(pack))
    if (this.#names[at] !== 0n && (this.#needed[at] ?? 0) <= bytes) this.#needed[at] = 0
  }

  has(pack: string): boolean {
    if (!isPackRef(pack) || !pack.startsWith(`${this.#session}/`)) return false
    return this.#names[this.#search(this.#nameOf(pack))] !== 0n
  }

  get size(): number {
    return this.#size
  }

  /** The packs that were not found. */
  missing(most: number): string[] {
    const found: string[] = []
    for (const [at, bytes] of this.#needed.entries()) {
      if (found.length >= most) break
      if (bytes > 0) found.push(`${this.#session}/${(this.#names[at] ?? 0n).toString(16).padStart(16, '0')}`)
    }
    return found
  }

  #nameOf(pack: string): bigint {
    return BigInt(`0x${pack.slice(pack.lastIndexOf('/') + 1)}`)
  }

  #place(name: bigint): number {
    const at = this.#search(name)
    if (this.#names[at] === 0n) {
      this.#names[at] = name
      this.#size++
    }
    return at
  }

  /** The index where the name is, or would be inserted. */
  #search(name: bigint): number {
    const mask = this.#names.length - 1
    let at = Number(name & BigInt(mask))
    while (this.#names[at] !== 0n && this.#names[at] !== name) at = (at + 1) & mask
    return at
  }

  #grow(): void {
    const [names, needed] = [this.#names, this.#needed]
    this.#names = new BigUint64Array(names.length * 2)
    this.#needed = new Uint32Array(names.length * 2)
    this.#size = 0
    for (const [index, name] of names.entries()) {
      if (name !== 0n) this.#needed[this.#place(name)] = needed[index] ?? 0
    }
  }
}
