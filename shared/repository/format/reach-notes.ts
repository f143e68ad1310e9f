// What a prune has found out about map pages and roots, so that the next slice and the next prune need not read them again. A note copies
// facts that never change: a page is named by the keyed hash of its bytes, a root by the hash of its object.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { decodeParts, encodeParts, partAt } from './bytes.ts'
import { requiredFeaturesIn } from './features.ts'
import { decodePackRef, encodePackRef, PACK_REF_BYTES, parseSession, reachKey } from './names.ts'
import type { RepositoryKeys } from './repository-keys.ts'
import { type ObjectKind, openObject, sealObject } from './sealed-object.ts'
import { ID_BYTES } from './version.ts'

/** A note is full before it exceeds 6 MiB. A reader does not load an object larger than MOST_NOTE_BYTES. */
const MOST_PACKS = 65_536
const MOST_NAMES = 524_288
const MOST_IDS = 65_536
export const MOST_NOTE_BYTES = 16 * 2 ** 20

type RootNeeds = { version: number; requiredFeatures: readonly string[] }

export type RootNote = {
  session: string
  /** SHA-256 of the object at the root's key, in hex. */
  digest: string
  bytes: number
  /** As LISTed. Missing when the object was so young that another object could have the same time. */
  modifiedMs?: number | undefined
  /** Set when the object is a tombstone: its reason. A tombstone names no packs. */
  why?: string | undefined
  /** Of a root: as in its head. A reader that does not know them must not rely on the note, and so meets the root itself. */
  needs?: RootNeeds | undefined
  /** Packs that hold its pages, its copy and the segments of its index run. */
  packs: readonly string[]
  /** Ids of its map pages, 16 bytes each. */
  pages: Uint8Array
}

type RootHead = Omit<RootNote, 'packs' | 'pages'> & { packs: number; pages: number }

/** An entry of a note about pages: `packs` are the numbers of the note's packs that the page names. */
export type PageNote = { id: string; packs: Uint32Array }

/** A page's id as a string, for use as a key of a map or a set. */
export const pageId = (id: Uint8Array): string => Buffer.from(id).toString('latin1')

/** The inverse of `pageId`. */
export const idBytes = (id: string): Uint8Array => Buffer.from(id, 'latin1')

/** Packs by number, in the order of their first use. */
class PackNumbers {
  readonly #numbers = new Map<string, number>()

  get size(): number {
    return this.#numbers.size
  }

  of(pack: string): number {
    const known = this.#numbers.get(pack)
    if (known !== undefined) return known
    this.#numbers.set(pack, this.#numbers.size)
    return this.#numbers.size - 1
  }

  encode(): Buffer {
    const bytes = Buffer.alloc(this.#numbers.size * PACK_REF_BYTES)
    for (const [pack, number] of this.#numbers) encodePackRef(pack, bytes, number * PACK_REF_BYTES)
    return bytes
  }
}

export class PageNotes {
  readonly #packs = new PackNumbers()
  readonly #ids: Uint8Array[] = []
  readonly #counts: number[] = []
  readonly #names: number[] = []

  get size(): number {
    return this.#ids.length
  }

  get isFull(): boolean {
    return this.#packs.size >= MOST_PACKS || this.#names.length >= MOST_NAMES || this.#ids.length >= MOST_IDS
  }

  add(id: Uint8Array, packs: readonly string[]): void {
    this.#ids.push(Uint8Array.from(id))
    this.#counts.push(packs.length)
    for (const pack of packs) this.#names.push(this.#packs.of(pack))
  }

  seal(keys: RepositoryKeys, name: string): Buffer {
    const parts = [this.#packs.encode(), Buffer.concat(this.#ids), numbers(this.#counts), numbers(this.#names)]
    return sealObject(keys, 'reach-pages', reachKey('pages', name), encodeParts({ version: 1 }, parts))
  }
}

export class RootNotes {
  readonly #packs = new PackNumbers()
  readonly #roots: RootHead[] = []
  readonly #names: number[] = []
  readonly #pages: Uint8Array[] = []
  #ids = 0

  get size(): number {
    return this.#roots.length
  }

  get isFull(): boolean {
    const names = this.#names.length + this.#ids
    return this.#packs.size >= MOST_PACKS || names >= MOST_NAMES || this.#roots.length >= MOST_IDS
  }

  add({ packs, pages, ...root }: RootNote): void {
    this.#roots.push({ ...root, packs: packs.length, pages: pages.length / ID_BYTES })
    this.#ids += pages.length / ID_BYTES
    this.#pages.push(pages)
    for (const pack of packs) this.#names.push(this.#packs.of(pack))
  }

  seal(keys: RepositoryKeys, name: string): Buffer {
    const head = { version: 1, roots: this.#roots }
    const parts = [this.#packs.encode(), numbers(this.#names), Buffer.concat(this.#pages)]
    return sealObject(keys, 'reach-roots', reachKey('roots', name), encodeParts(head, parts))
  }
}

export function openPageNotes(
  keys: RepositoryKeys,
  key: string,
  bytes: Uint8Array,
  where: string,
): { packs: string[]; pages: PageNote[] } {
  return readNote(keys, 'reach-pages', key, bytes, where, ({ parts }) => {
    const packs = packsIn(partAt(parts, 0))
    const [ids, counts, names] = [partAt(parts, 1), numbersIn(partAt(parts, 2)), numbersIn(partAt(parts, 3))]
    if (ids.length !== counts.length * ID_BYTES) throw new RangeError(`${ids.length} bytes of ids`)
    const take = taker(names, packs.length)
    const pages = Array.from(counts, (count, n) => {
      const id = ids.toString('latin1', n * ID_BYTES, (n + 1) * ID_BYTES)
      return { id, packs: take(count) }
    })
    return { packs, pages }
  })
}

export function openRootNotes(keys: RepositoryKeys, key: string, bytes: Uint8Array, where: string): RootNote[] {
  return readNote(keys, 'reach-roots', key, bytes, where, ({ head, parts }) => {
    const packs = packsIn(partAt(parts, 0))
    const take = taker(numbersIn(partAt(parts, 1)), packs.length)
    const ids = partAt(parts, 2)
    let at = 0
    return (head as { roots: RootHead[] }).roots.map((root) => {
      if (parseSession(root.session) === undefined) throw new RangeError(root.session)
      const pages = Uint8Array.from(ids.subarray(at, at + root.pages * ID_BYTES))
      if (pages.length !== root.pages * ID_BYTES) throw new RangeError(`${root.session} wants ${root.pages} pages`)
      at += pages.length
      if (root.why === undefined) checkNeeds(root.needs)
      return { ...root, pages, packs: Array.from(take(root.packs), (number) => packs[number] ?? '') }
    })
  })
}

/** RangeError: the note does not say what a reader of the root has to know. */
function checkNeeds(needs: RootNeeds | undefined): void {
  if (!Number.isSafeInteger(needs?.version)) throw new RangeError('the version of a root is missing')
  requiredFeaturesIn(needs?.requiredFeatures)
}

type Parts = { head: unknown; parts: Buffer[] }

function readNote<T>(
  keys: RepositoryKeys,
  kind: ObjectKind,
  key: string,
  bytes: Uint8Array,
  where: string,
  read: (parts: Parts) => T,
): T {
  const payload = openObject(keys, kind, key, bytes, where)
  try {
    const parts = decodeParts(payload)
    const { version } = parts.head as { version?: unknown }
    if (version !== 1) throw new RangeError(`version ${String(version)}`)
    return read(parts)
  } catch (error) {
    throw new CorruptionError('ReachNoteCorrupt', `note ${where}: it opens but makes no sense`, { cause: error })
  }
}

/** Returns a function that takes the next `count` numbers, each below `limit`. */
function taker(all: Uint32Array, limit: number): (count: number) => Uint32Array {
  let at = 0
  return (count) => {
    const taken = all.subarray(at, at + count)
    if (taken.length !== count) throw new RangeError(`${count} names at ${at} of ${all.length}`)
    for (const number of taken) if (number >= limit) throw new RangeError(`pack ${number} of ${limit}`)
    at += count
    return taken
  }
}

function packsIn(refs: Buffer): string[] {
  return Array.from({ length: refs.length / PACK_REF_BYTES }, (_, n) => decodePackRef(refs, n * PACK_REF_BYTES))
}

function numbers(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, index * 4)
  return bytes
}

function numbersIn(bytes: Buffer): Uint32Array {
  return Uint32Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readUInt32LE(index * 4))
}
