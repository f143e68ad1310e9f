// Checks, before a backup is sealed, that everything its map names exists, whichever session wrote it.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import { packKey } from '#shared/repository/format/names.ts'
import { BlobReader } from './blob-reader.ts'
import { countFreed } from './freed-buffers.ts'
import { inParallel } from './in-parallel.ts'
import { NamedPacks } from './named-packs.ts'
import type { Repository } from './repository.ts'

const PARALLEL_READS = 8
/** Lost packs go into the checkpoint. The next check finds those beyond this limit. */
const MOST_LOST = 32_768

/**
 * `packs`: not listed, or too short. `pages`: pages that name one of these packs, or cannot be read themselves (`unreadable`: one of
 * those errors).
 */
export type Lost = { packs: ReadonlySet<string>; pages: number[]; unreadable: CorruptionError | undefined }

/**
 * Reads and decodes every page, and checks with a LIST that every pack that they name exists and is long enough for what it should hold.
 * If something that this session wrote is missing, it throws a CorruptionError. If something taken over from other sessions is missing,
 * it returns that: the source still has the data.
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

/** Returns the unreadable pages that other sessions wrote. */
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
