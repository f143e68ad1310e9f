// A lane is one worker with its own open disk. This is its interface to the code that directs it (upload.ts, download.ts). The work
// itself is in upload-lane.ts and download-lane.ts; it runs inside a worker thread or, in tests, inline.

import type { Extent } from '#shared/ports/disk.ts'

/** What a lane needs to know besides its disk. */
export type LaneSetup = {
  repositoryId: string
  master: Uint8Array
  session: string
  chunkBytes: number
  capacityBytes: number
  packBytes: number
  packBuffers: number
  /**
   * Int32, shared (Stopper): not 0 = stop before the next read, except the first; 2 = stop also before the first, and before the next
   * write.
   */
  stop: SharedArrayBuffer
}

/** `ids`: 16 bytes for each chunk that was read, all zero = the chunk is zeros. Fewer than requested: the scan was stopped. */
export type ScanResult = { ids: Uint8Array; bytesRead: number }

/** A pack that is ready for the store. `blobs`: an encoded LocationTable; `chunks[n]`: the volume's chunk of blob n. */
export type FullPack = { ref: string; buffer: ArrayBuffer; bytes: number; chunks: Uint32Array; blobs: Uint8Array }

/** Calls are carried out one after the other, in their order. */
export interface Lane {
  /** Receives full packs; each pack's buffer must be returned through `returnBuffer`. */
  onPack: (pack: FullPack) => void
  returnBuffer(buffer: ArrayBuffer): void
  allocated(offsetBytes: number, lengthBytes: number): Promise<Extent[] | undefined>
  /** Reads and hashes chunks (ascending) and keeps their bytes as batch `batch`. */
  scan(batch: number, chunks: Uint32Array): Promise<ScanResult>
  /** Packs the batch's chunks at these positions and forgets the batch. Waits while no pack buffer is free. */
  store(batch: number, positions: Uint32Array): Promise<void>
  /** When this resolves, the pack that was being filled, if any, was passed to onPack. */
  flushPack(): Promise<void>
  /** Decodes a fetched part of a pack and writes its chunks. `onTaken`: the caller may use `part.bytes` again. */
  write(part: FetchedPart, onTaken: () => void): Promise<number>
  writeZeros(offsetBytes: number, lengthBytes: number): Promise<void>
  flushDisk(): Promise<void>
}

/**
 * `bytes` start at `offset` of the pack. `blobs`: an encoded LocationTable of what to decode; `targets`: pairs of (blob, chunk of the
 * volume).
 */
export type FetchedPart = {
  header: Uint8Array
  where: string
  offset: number
  bytes: Uint8Array
  blobs: Uint8Array
  targets: Uint32Array
}
