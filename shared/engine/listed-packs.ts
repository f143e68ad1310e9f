// Which packs stand, by a LIST of each session that somebody names: 12 bytes of memory for each pack.

import { isPackRef, packKey } from '#shared/format/names.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { PackSet } from './pack-set.ts'

/** About 4 TiB in packs of 16 MiB, in up to 6 MB of memory. Of what is beyond it nothing is taken over, which costs space only. */
const MOST_NAMES = 262_144
const MOST_SESSIONS = 256

export class ListedPacks {
  readonly #store: ObjectStore
  readonly #sessions = new Map<string, Promise<PackSet>>()
  #names = 0

  constructor(store: ObjectStore) {
    this.#store = store
  }

  /** Those of `packs` that are listed; each session is listed once. */
  async among(packs: readonly string[]): Promise<ReadonlySet<string>> {
    const sessions = new Set(packs.map(sessionOf))
    await Promise.all([...sessions].map((session) => this.#of(session)))
    const listed = new Set<string>()
    for (const pack of packs) if ((await this.#of(sessionOf(pack))).has(pack)) listed.add(pack)
    return listed
  }

  #of(session: string): Promise<PackSet> {
    const known = this.#sessions.get(session)
    if (known !== undefined) return known
    const packs = this.#sessions.size < MOST_SESSIONS ? this.#list(session) : Promise.resolve(new PackSet(session))
    this.#sessions.set(session, packs)
    // Who waits for it hears of a failure; whoever asks for it again asks the store again.
    packs.catch(() => this.#sessions.delete(session))
    return packs
  }

  async #list(session: string): Promise<PackSet> {
    const packs = new PackSet(session)
    for await (const { key, bytes } of this.#store.list(packKey(`${session}/`))) {
      const pack = key.slice(packKey('').length)
      if (!isPackRef(pack)) continue
      if (++this.#names > MOST_NAMES) break
      packs.add(pack, bytes)
    }
    return packs
  }
}

const sessionOf = (pack: string): string => pack.slice(0, pack.indexOf('/'))
