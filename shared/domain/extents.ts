// Normalises areas of a disk into one reliable list, whatever vSphere or VDDK reported.

import { SECTOR_BYTES } from '#shared/kernel/units.ts'

type Extent = { offsetBytes: number; lengthBytes: number }

/** Ascending, in whole sectors, without overlaps, adjacent areas joined, cut at the disk's end. No byte is left out. */
export function mergeExtents(extents: readonly Extent[], capacityBytes: number): Extent[] {
  const merged: Extent[] = []
  let last: Extent | undefined
  for (const extent of extents.toSorted((a, b) => a.offsetBytes - b.offsetBytes)) {
    const offsetBytes = Math.floor(extent.offsetBytes / SECTOR_BYTES) * SECTOR_BYTES
    const extentEndBytes = extent.offsetBytes + extent.lengthBytes
    const endBytes = Math.min(Math.ceil(extentEndBytes / SECTOR_BYTES) * SECTOR_BYTES, capacityBytes)
    if (extent.lengthBytes === 0 || endBytes <= offsetBytes) continue
    if (last !== undefined && offsetBytes <= last.offsetBytes + last.lengthBytes) {
      last.lengthBytes = Math.max(last.lengthBytes, endBytes - last.offsetBytes)
      continue
    }
    last = { offsetBytes, lengthBytes: endBytes - offsetBytes }
    merged.push(last)
  }
  return merged
}
