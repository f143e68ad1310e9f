// Before a backup is sealed: is everything there that its map names, whoever wrote it?

import { CorruptionError } from '#shared/kernel/errors.ts'
import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import { packKey } from '#shared/repository/format/names.ts'
import { BlobReader } from './blob-reader.ts'
import { countFreed } from './freed-buffers.ts'
import { inParallel } from './in-parallel.ts'
import { NamedPacks } from './named-packs.ts'
import type { Repository } from './repository.ts'

const PARALLEL_READS = 8
/** They go into the checkpoint; what is lost beyond them, the next look finds. */
const MOST_LOST = 32_768

/** `packs`: not listed, or too short. `pages`: those that name one of them, or cannot be read themselves (`unreadable`: one of these). */
export type Lost = { packs: ReadonlySet<string>; pages: number[]; unreadable: CorruptionError | undefined }

/**
 * Reads and decodes every page, and looks in a LIST for every pack that they name, each with room for what it is said to hold.
 * What this session wrote and is not there throws a CorruptionError; what it took over from others is answered: the source has it still.
 */
export async function verifyStored(
  repository: Repository,
  session: string,
  pages: LocationTable,
): Promise<Lost | undefined> {
  const look = { repository, session, table: pages, blobs: new BlobReader(repository) }
  const named = new NamedPacks()
  const unreadable = await eachPage(look, (page, map) => {
    named.add(page, map)
  })
  await named.lookFor(repository.store)
  requireOwn(look, named)
  const packs = new Set(named.missing(MOST_LOST))
  if (packs.size === 0 && unreadable.size === 0) return undefined
  const lost = new Set(unreadable.keys())
  if (packs.size > 0) {
    await eachPage(look, (page, map, number) => {
      if (packs.has(page.pack) || map.packs.some((pack) => packs.has(pack))) lost.add(number)
    })
  }
  return { packs, pages: [...lost], unreadable: [...unreadable.values()][0] }
}

type Look = { repository: Repository; session: string; table: LocationTable; blobs: BlobReader }

/** Answers the pages of others that cannot be read. */
async function eachPage(
  { blobs, session, table }: Look,
  visit: (page: BlobLocation, map: LocationTable, number: number) => void,
): Promise<Map<number, CorruptionError>> {
  const unreadable = new Map<number, CorruptionError>()
  const numbers = Array.from({ length: table.length }, (_, number) => number)
  await inParallel(numbers, PARALLEL_READS, async (number) => {
    const page = table.get(number)
    if (page === undefined) return
    try {
      const raw = await blobs.read('page', page)
      countFreed(4 * raw.length)
      visit(page, LocationTable.decode(raw), number)
    } catch (error) {
      if (!(error instanceof CorruptionError) || page.pack.startsWith(`${session}/`)) throw error
      unreadable.set(number, error)
    }
  })
  return unreadable
}

function requireOwn({ repository, session }: Look, named: NamedPacks): void {
  const missing = named.missingOf(session)
  if (missing === undefined) return
  const name = `${repository.store.location}/${packKey(missing)}`
  throw new CorruptionError('PackMissing', `${name} was stored, but is not listed or is too short`)
}
