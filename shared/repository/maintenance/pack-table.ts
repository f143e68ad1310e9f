// Packs by name, with a number for each, in about 30 bytes of memory: a prune holds the names of all packs of a repository twice.

import { isPackRef } from '#shared/repository/format/names.ts'

const FIRST_ROOM = 1024
/** The fraction of the room that may be in use. */
const FILL = 0.7
const GONE = 0xffff_ffff

/** A pack's 8 random bytes as two numbers and its session as one, in a hash table with open addressing. */
export class PackTable {
  readonly #sessions = new Map<string, number>()
  readonly #sessionNames: string[] = []
  #high = new Uint32Array(FIRST_ROOM)
  #low = new Uint32Array(FIRST_ROOM)
  /** Number of the session, from 1; 0: the entry is free. */
  #session = new Uint32Array(FIRST_ROOM)
  #value = new Uint32Array(FIRST_ROOM)
  #used = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  has(pack: string): boolean {
    return this.get(pack) !== undefined
  }

  get(pack: string): number | undefined {
    const session = this.#sessions.get(sessionPart(pack))
    if (session === undefined) return undefined
    const at = this.#search(session, highPart(pack), lowPart(pack))
    const value = this.#value[at]
    return this.#session[at] === 0 || value === GONE ? undefined : value
  }

  /** Values up to 4 GiB; a larger value is stored as that. */
  set(pack: string, value: number): void {
    if (!isPackRef(pack)) throw new Error(`not a pack reference: ${pack}`)
    if (this.#used >= this.#session.length * FILL) this.#grow()
    const session = this.#sessionNumber(sessionPart(pack))
    const at = this.#search(session, highPart(pack), lowPart(pack))
    const isNew = this.#session[at] === 0
    if (isNew) this.#used++
    if (isNew || this.#value[at] === GONE) this.#size++
    this.#high[at] = highPart(pack)
    this.#low[at] = lowPart(pack)
    this.#session[at] = session
    this.#value[at] = Math.min(value, GONE - 1)
  }

  add(pack: string): void {
    if (!this.has(pack)) this.set(pack, 0)
  }

  delete(pack: string): void {
    if (!this.has(pack)) return
    this.#value[this.#search(this.#sessionNumber(sessionPart(pack)), highPart(pack), lowPart(pack))] = GONE
    this.#size--
  }

  *keys(): Generator<string> {
    for (let at = 0; at < this.#session.length; at++) {
      const session = this.#session[at] ?? 0
      if (session === 0 || this.#value[at] === GONE) continue
      yield `${this.#sessionNames[session - 1]}/${hex(this.#high[at] ?? 0)}${hex(this.#low[at] ?? 0)}`
    }
  }

  [Symbol.iterator](): Generator<string> {
    return this.keys()
  }

  #sessionNumber(name: string): number {
    const known = this.#sessions.get(name)
    if (known !== undefined) return known
    const number = this.#sessionNames.push(name)
    this.#sessions.set(name, number)
    return number
  }

  /** The index where the pack is, or would be inserted. */
  #search(session: number, high: number, low: number): number {
    const mask = this.#session.length - 1
    // Names are random, so their own bits are as good as any hash.
    let at = (low ^ Math.imul(session, 0x9e3779b1)) & mask
    while (
      this.#session[at] !== 0 &&
      !(this.#low[at] === low && this.#high[at] === high && this.#session[at] === session)
    ) {
      at = (at + 1) & mask
    }
    return at
  }

  #grow(): void {
    const [high, low, session, value] = [this.#high, this.#low, this.#session, this.#value]
    const room = session.length * 2
    this.#high = new Uint32Array(room)
    this.#low = new Uint32Array(room)
    this.#session = new Uint32Array(room)
    this.#value = new Uint32Array(room)
    for (let from = 0; from < session.length; from++) {
      if (session[from] === 0) continue
      const at = this.#search(session[from] ?? 0, high[from] ?? 0, low[from] ?? 0)
      this.#high[at] = high[from] ?? 0
      this.#low[at] = low[from] ?? 0
      this.#session[at] = session[from] ?? 0
      this.#value[at] = value[from] ?? 0
    }
  }
}

const NAME_CHARS = 16
const sessionPart = (pack: string): string => pack.slice(0, -NAME_CHARS - 1)
const highPart = (pack: string): number => Number.parseInt(pack.slice(-NAME_CHARS, -NAME_CHARS / 2), 16)
const lowPart = (pack: string): number => Number.parseInt(pack.slice(-NAME_CHARS / 2), 16)
const hex = (number: number): string => number.toString(16).padStart(NAME_CHARS / 2, '0')
