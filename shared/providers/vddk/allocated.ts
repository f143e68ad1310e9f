// Which parts of a disk hold data, by QueryAllocatedBlocks (docs/development/vddk.md#allocated-blocks).

import koffi from 'koffi'
import { mergeExtents } from '#shared/domain/extents.ts'
import { MiB, SECTOR_BYTES } from '#shared/kernel/units.ts'
import type { Extent } from '#shared/ports/disk.ts'
import { codeOf, isConnectionCode, VIX_OK } from './errors.ts'
import { check, type VddkLibrary } from './library.ts'
import { BLOCK_LIST, MAX_CHUNKS_PER_CALL, MIN_CHUNK_SECTORS, type Pointer } from './signatures.ts'

const CHUNK_BYTES = MiB
const CHUNK_SECTORS = CHUNK_BYTES / SECTOR_BYTES
const MOST_SECTORS_PER_CALL = MAX_CHUNKS_PER_CALL * CHUNK_SECTORS

const memcpy = koffi.load(null).func('void *memcpy(uint8_t *to, void *from, size_t bytes)')

type Source = { library: VddkLibrary; handle: Pointer; capacityBytes: number; where: string }

/** The call fails on some kinds of datastore, so it is tried once with the smallest range, as nbdkit does. */
export function canTellAllocated(source: Source): boolean {
  if (source.capacityBytes < MIN_CHUNK_SECTORS * SECTOR_BYTES) return false
  return query(source, 0, MIN_CHUNK_SECTORS, MIN_CHUNK_SECTORS) !== undefined
}

/**
 * undefined: the disk does not support it. Start and length are rounded out to whole chunks; a partial chunk at the end of the disk
 * counts as data.
 */
export function allocatedExtents(source: Source, offsetBytes: number, lengthBytes: number): Extent[] | undefined {
  const endBytes = offsetBytes + lengthBytes
  const wholeBytes = Math.floor(source.capacityBytes / CHUNK_BYTES) * CHUNK_BYTES
  const firstBytes = Math.floor(offsetBytes / CHUNK_BYTES) * CHUNK_BYTES
  const lastBytes = Math.min(Math.ceil(endBytes / CHUNK_BYTES) * CHUNK_BYTES, wholeBytes)
  const found: Extent[] = []
  for (let sector = firstBytes / SECTOR_BYTES; sector < lastBytes / SECTOR_BYTES; sector += MOST_SECTORS_PER_CALL) {
    const sectors = Math.min(MOST_SECTORS_PER_CALL, lastBytes / SECTOR_BYTES - sector)
    const part = query(source, sector, sectors, CHUNK_SECTORS)
    if (part === undefined) return undefined
    for (const extent of part) found.push(extent)
  }
  if (endBytes > wholeBytes) found.push({ offsetBytes: wholeBytes, lengthBytes: source.capacityBytes - wholeBytes })
  // No document promises that the extents are in order and do not overlap.
  return mergeExtents(found, source.capacityBytes)
    .map((extent) => clip(extent, offsetBytes, endBytes))
    .filter((extent) => extent.lengthBytes > 0)
}

function query(source: Source, sector: number, sectors: number, chunkSectors: number): Extent[] | undefined {
  const { functions } = source.library
  const out: [Pointer | null] = [null]
  const result = functions.queryAllocatedBlocks(source.handle, sector, sectors, chunkSectors, out)
  if (isConnectionCode(codeOf(result))) check(source.library, 'QueryAllocatedBlocks', result, source.where)
  if (codeOf(result) !== VIX_OK || out[0] === null) return undefined
  try {
    return readBlockList(out[0], Math.ceil(sectors / chunkSectors))
  } finally {
    functions.freeBlockList(out[0])
  }
}

/**
 * undefined: more runs than requested chunks, which no valid answer contains. The list is copied at once: decoding half a million structs
 * one by one takes a third of a second (docs/development/vddk.md#koffi).
 */
function readBlockList(list: Pointer, mostRuns: number): Extent[] | undefined {
  const count: number = koffi.decode(list, BLOCK_LIST.numBlocks, 'uint32_t')
  if (count > mostRuns) return undefined
  const words = new BigUint64Array(count * 2)
  if (count > 0) memcpy(new Uint8Array(words.buffer), list + BigInt(BLOCK_LIST.blocks), count * BLOCK_LIST.blockBytes)
  const extents: Extent[] = []
  for (let i = 0; i < words.length; i += 2) {
    extents.push({ offsetBytes: Number(words[i]) * SECTOR_BYTES, lengthBytes: Number(words[i + 1]) * SECTOR_BYTES })
  }
  return extents
}

function clip({ offsetBytes, lengthBytes }: Extent, fromBytes: number, toBytes: number): Extent {
  const start = Math.max(offsetBytes, fromBytes)
  return { offsetBytes: start, lengthBytes: Math.min(offsetBytes + lengthBytes, toBytes) - start }
}
