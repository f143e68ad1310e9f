// The packs of any session that a map names, and which of them no LIST shows: 12 bytes of memory for each name.

import type { ObjectStore } from '#shared/ports/object-store.ts'
import type { BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import { packKey } from '#shared/repository/format/names.ts'
import { inParallel } from './in-parallel.ts'
import { PackSet } from './pack-set.ts'

const PARALLEL_LISTS = 8
/** Above this number, the packs of one session are listed in sixteen parts at once: a LIST returns a thousand names at a time. */
const MANY_PACKS = 4096
const HEX = [...'0123456789abcdef']

export class NamedPacks {
  readonly #sessions = new Map<string, PackSet>()

  add(page: BlobLocation, map: LocationTable): void {
    this.#add(page.pack, page.offset + page.storedBytes)
    for (const [number, bytes] of map.packEnds().entries()) this.#add(map.packs[number] ?? '', bytes)
  }

  #add(pack: string, bytes: number): void {
    const session = pack.slice(0, pack.indexOf('/'))
    let packs = this.#sessions.get(session)
    if (packs === undefined) {
      packs = new PackSet(session)
      this.#sessions.set(session, packs)
    }
    packs.add(pack, bytes)
  }

  /** Lists only sessions that were named. A pack that is listed and long enough is not missing. */
  async lookFor(store: ObjectStore): Promise<void> {
    const parts = [...this.#sessions].flatMap(([session, packs]) => {
      const prefix = packKey(`${session}/`)
      return (packs.size > MANY_PACKS ? HEX : ['']).map((digit) => ({ prefix: `${prefix}${digit}`, packs }))
    })
    await inParallel(parts, PARALLEL_LISTS, async ({ prefix, packs }) => {
      for await (const { key, bytes } of store.list(prefix)) packs.found(key, bytes)
    })
  }

  /** One missing pack of this session. */
  missingOf(session: string): string | undefined {
    return this.#sessions.get(session)?.missing(1)[0]
  }

  missing(most: number): string[] {
    const found: string[] = []
    for (const packs of this.#sessions.values()) {
      if (found.length >= most) break
      found.push(...packs.missing(most - found.length))
    }
    return found
  }
}
