// Finds out which packs exist, with a LIST of each session that the caller names: 8 bytes of memory for each pack.

import type { ObjectStore } from '#shared/ports/object-store.ts'
import { isPackRef, packKey } from '#shared/repository/format/names.ts'
import { inParallel } from './in-parallel.ts'

/**
 * 8 TiB in packs of 8 MiB or 16 TiB in packs of 16 MiB, in 8 MB of memory. Packs beyond this limit are not reused, which only costs
 * space: the sessions that are asked for first take the room.
 */
const MOST_NAMES = 1_048_576
const MOST_SESSIONS = 256
/**
 * A LIST returns a thousand names at a time. A session with more packs is listed by the first digit of the packs' names, several at once.
 */
const ONE_LIST = 1000
const DIGITS = [...'0123456789abcdef']
const LANES = 8

export class ListedPacks {
  readonly #store: ObjectStore
  readonly #mostNames: number
  readonly #sessions = new Map<string, Promise<SortedNames>>()
  #names = 0

  /** `mostNames`: for tests, which do not have a million packs. */
  constructor(store: ObjectStore, mostNames = MOST_NAMES) {
    this.#store = store
    this.#mostNames = mostNames
  }

  /** Those of `packs` that are listed. Each session is listed once. */
  async among(packs: readonly string[]): Promise<ReadonlySet<string>> {
    const sessions = new Set(packs.map(sessionOf))
    await Promise.all([...sessions].map((session) => this.#of(session)))
    const listed = new Set<string>()
    for (const pack of packs)
      if (isPackRef(pack) && (await this.#of(sessionOf(pack))).has(nameOf(pack))) listed.add(pack)
    return listed
  }

  /** Lists the session's packs ahead of time, as far as there is room. */
  async list(session: string): Promise<void> {
    await this.#of(session)
  }

  #of(session: string): Promise<SortedNames> {
    const known = this.#sessions.get(session)
    if (known !== undefined) return known
    const packs = this.#sessions.size < MOST_SESSIONS ? this.#list(session) : Promise.resolve(new SortedNames([]))
    this.#sessions.set(session, packs)
    // Callers that wait for this LIST receive its error; a later call asks the store again.
    packs.catch(() => this.#sessions.delete(session))
    return packs
  }

  async #list(session: string): Promise<SortedNames> {
    const first = await this.#listBelow(`${session}/`, ONE_LIST)
    if (first.length <= ONE_LIST) return this.#keep([first])
    const parts = await inParallel(DIGITS, LANES, (digit) => this.#listBelow(`${session}/${digit}`, this.#mostNames))
    return this.#keep(parts)
  }

  /** Returns up to `most` + 1 names: one more than `most` when there are more. */
  async #listBelow(prefix: string, most: number): Promise<BigUint64Array> {
    let names: BigUint64Array = new BigUint64Array(64)
    let count = 0
    for await (const { key } of this.#store.list(packKey(prefix))) {
      const pack = key.slice(packKey('').length)
      // Other programs may have put other keys there.
      if (!isPackRef(pack)) continue
      if (count === names.length) names = grown(names)
      names[count++] = nameOf(pack)
      if (count > most) break
    }
    return names.subarray(0, count)
  }

  #keep(parts: BigUint64Array[]): SortedNames {
    const room = parts.map((part) => {
      const kept = part.slice(0, Math.max(0, this.#mostNames - this.#names))
      this.#names += kept.length
      return kept
    })
    return new SortedNames(room)
  }
}

/** A few sorted arrays. All names of an array are greater than those of the array before it. */
class SortedNames {
  readonly #parts: readonly BigUint64Array[]

  constructor(parts: readonly BigUint64Array[]) {
    this.#parts = parts.filter(({ length }) => length > 0)
    // Most stores list in order, but some do not.
    for (const part of this.#parts) if (!isSorted(part)) part.sort()
  }

  has(name: bigint): boolean {
    const part = this.#parts.find((each) => name <= (each.at(-1) ?? 0n))
    if (part === undefined) return false
    let [from, end] = [0, part.length]
    while (from < end) {
      const middle = (from + end) >> 1
      if ((part[middle] ?? 0n) < name) from = middle + 1
      else end = middle
    }
    return part[from] === name
  }
}

function isSorted(names: BigUint64Array): boolean {
  return names.every((name, index) => index === 0 || (names[index - 1] ?? 0n) <= name)
}

function grown(names: BigUint64Array): BigUint64Array {
  const larger = new BigUint64Array(names.length * 2)
  larger.set(names)
  return larger
}

const sessionOf = (pack: string): string => pack.slice(0, pack.indexOf('/'))
const nameOf = (pack: string): bigint => BigInt(`0x${pack.slice(pack.lastIndexOf('/') + 1)}`)
