// Reads a page of a backup's map from its pack.

import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import type { BlobReader } from './blob-reader.ts'
import { countFreed } from './freed-buffers.ts'

/** CorruptionError: the page is missing, or does not open. */
export async function readPageMap(blobs: BlobReader, location: BlobLocation): Promise<LocationTable> {
  const raw = await blobs.read('page', location)
  // Four buffers of the page: stored, decrypted, decompressed, decoded.
  countFreed(4 * raw.length)
  return LocationTable.decode(raw)
}
