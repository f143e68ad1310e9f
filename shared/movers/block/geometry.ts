// How a volume is divided: into chunks, and into pages of chunks. The last chunk may be short, and so may the last page.

import type { Extent } from '#shared/ports/disk.ts'

export type Geometry = {
  capacityBytes: number
  chunkBytes: number
  pageChunks: number
  chunkCount: number
  pageCount: number
}

export function geometryOf(
  capacityBytes: number,
  { chunkBytes, pageChunks }: { chunkBytes: number; pageChunks: number },
): Geometry {
  const chunkCount = Math.ceil(capacityBytes / chunkBytes)
  return { capacityBytes, chunkBytes, pageChunks, chunkCount, pageCount: Math.ceil(chunkCount / pageChunks) }
}

export function chunkLength({ capacityBytes, chunkBytes }: Geometry, chunk: number): number {
  return Math.min(chunkBytes, capacityBytes - chunk * chunkBytes)
}

/** Chunks of a page: `first` up to, not including, `end`. */
export function pageSpan({ pageChunks, chunkCount }: Geometry, page: number): { first: number; end: number } {
  return { first: page * pageChunks, end: Math.min(chunkCount, (page + 1) * pageChunks) }
}

export function pageExtent(geometry: Geometry, page: number, pages = 1): Extent {
  const offsetBytes = page * geometry.pageChunks * geometry.chunkBytes
  const endBytes = (page + pages) * geometry.pageChunks * geometry.chunkBytes
  return { offsetBytes, lengthBytes: Math.min(geometry.capacityBytes, endBytes) - offsetBytes }
}

/** Chunks that an area touches, with the area clipped to the volume. */
export function chunksOf(geometry: Geometry, area: Extent): { first: number; end: number } {
  const endBytes = Math.min(geometry.capacityBytes, area.offsetBytes + area.lengthBytes)
  if (area.lengthBytes <= 0 || area.offsetBytes < 0 || area.offsetBytes >= endBytes) return { first: 0, end: 0 }
  return {
    first: Math.floor(area.offsetBytes / geometry.chunkBytes),
    end: Math.ceil(endBytes / geometry.chunkBytes),
  }
}

/** Bytes of the chunks in [first, end). */
export function spanBytes(geometry: Geometry, first: number, end: number): number {
  return first >= end ? 0 : Math.min(geometry.capacityBytes, end * geometry.chunkBytes) - first * geometry.chunkBytes
}
