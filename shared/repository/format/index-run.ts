// The object `index/<S>`: the chunks that one backup added. It is used to find known chunks, never to restore. Long runs are cut into
// sorted segments that lie in packs; the last, short segment lies in the object itself.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { decodeParts, encodeParts, partAt } from './bytes.ts'
import { type BlobLocation, LocationTable } from './location-table.ts'
import { indexKey } from './names.ts'
import type { RepositoryKeys } from './repository-keys.ts'
import { openObject, sealObject } from './sealed-object.ts'

/** 512 KiB each: 8 GiB of new data at the default chunk size. */
export const SEGMENT_ENTRIES = 16_384

type IndexRun = { segments: BlobLocation[]; rest: LocationTable }

/** A segment's bytes: its first `count` entries, sorted by id. */
export function encodeSegment(entries: LocationTable, count: number): Buffer {
  const sorted = new LocationTable(count)
  for (const [index, from] of entries.idOrder(count).entries()) {
    const location = entries.get(from)
    if (location !== undefined) sorted.set(index, location)
  }
  return sorted.encode()
}

export function sealIndexRun(
  keys: RepositoryKeys,
  session: string,
  segments: readonly BlobLocation[],
  rest: Uint8Array,
): Buffer {
  const payload = encodeParts({ version: 1 }, [LocationTable.from(segments).encode(), rest])
  return sealObject(keys, 'index', indexKey(session), payload)
}

export function openIndexRun(keys: RepositoryKeys, session: string, bytes: Uint8Array, where: string): IndexRun {
  const payload = openObject(keys, 'index', indexKey(session), bytes, where)
  try {
    const { parts } = decodeParts(payload)
    return { segments: listOf(LocationTable.decode(partAt(parts, 0))), rest: LocationTable.decode(partAt(parts, 1)) }
  } catch (error) {
    throw new CorruptionError('IndexCorrupt', `index ${where}: it opens but makes no sense`, { cause: error })
  }
}

/** The table's entries as values. */
export function listOf(table: LocationTable): BlobLocation[] {
  return Array.from({ length: table.length }, (_, index) => table.get(index)).filter((entry) => entry !== undefined)
}
