// How much memory a transfer may use, from one number: DORMOUSE_MEMORY_MIB, which includes the function's process.

import { KiB, MiB } from '#shared/kernel/units.ts'

export type TransferBudget = {
  /** Size of a full pack and of each pack buffer. */
  packBytes: number
  /** Pack buffers of one lane: one is being filled, the others are being sent. */
  packBuffersPerLane: number
  /** Raw bytes that one batch of chunks holds; a lane has two batches. */
  batchBytes: number
  /** Entries of the table of known chunks (32 bytes each). */
  knownChunks: number
  /** Map pages that are begun but not stored. */
  openPages: number
  /** Restore: bytes being fetched or waiting to be written. */
  fetchBytes: number
}

export const DEFAULT_MEMORY_MIB = 384
export const DEFAULT_WORKERS = 2

/** Memory in use before the first buffer: the function's own process, the mover's process, and each worker's isolate. */
const FUNCTION_MIB = 100
const MOVER_MIB = 100
const WORKER_MIB = 16
/** Reserved for garbage that is not collected yet; measured with 2 workers. */
const SLACK_MIB = 54
const OPEN_PAGES = 32
const OPEN_PAGE_BYTES = 200 * KiB
const KNOWN_ENTRY_BYTES = 32
/** More buffers than this hide no more latency. */
const MOST_BUFFERS = 8
const MOST_FETCH_BYTES = 128 * MiB

export function budgetFor(memoryMib: number, workers: number, chunkBytes: number): TransferBudget {
  const freeMib = memoryMib - FUNCTION_MIB - MOVER_MIB - SLACK_MIB - workers * WORKER_MIB
  const freeBytes = Math.max(24, freeMib) * MiB - OPEN_PAGES * OPEN_PAGE_BYTES
  const knownChunks = powerOfTwoBelow(freeBytes / 6 / KNOWN_ENTRY_BYTES)
  const batchBytes = Math.max(chunkBytes, Math.min(4 * MiB, freeBytes / 8 / workers))
  const buffersBytes = freeBytes - knownChunks * KNOWN_ENTRY_BYTES - 2 * batchBytes * workers
  // Packs of 16 MiB are used only if enough of them can be sent at once to hide a store's latency.
  const packBytes = [16 * MiB, 8 * MiB, 4 * MiB].find((bytes) => buffersBytes >= bytes * workers * 4) ?? 4 * MiB
  const roomy = Math.max(packBytes, 2 * chunkBytes)
  return {
    packBytes: roomy,
    packBuffersPerLane: Math.min(MOST_BUFFERS, Math.max(2, Math.floor(buffersBytes / roomy / workers))),
    batchBytes: Math.floor(batchBytes / chunkBytes) * chunkBytes,
    knownChunks,
    openPages: OPEN_PAGES,
    fetchBytes: Math.min(MOST_FETCH_BYTES, Math.max(2 * roomy, Math.floor(buffersBytes / 3))),
  }
}

/** With a bandwidth limit, data moves in smaller pieces, so that the limit holds over seconds and not only over minutes. */
export function pacedBudget(
  ample: TransferBudget,
  pacer: { bytesPerSecond: number } | undefined,
  chunkBytes: number,
): TransferBudget {
  if (pacer === undefined) return ample
  const { bytesPerSecond } = pacer
  const least = Math.max(4 * MiB, 2 * chunkBytes)
  return {
    ...ample,
    packBytes: Math.min(ample.packBytes, Math.max(least, 4 * bytesPerSecond)),
    batchBytes: Math.min(ample.batchBytes, Math.max(1, Math.floor(bytesPerSecond / chunkBytes)) * chunkBytes),
    // Each slice reads the known chunks again.
    knownChunks: Math.min(ample.knownChunks, powerOfTwoBelow((30 * bytesPerSecond) / KNOWN_ENTRY_BYTES)),
    fetchBytes: Math.min(ample.fetchBytes, Math.max(2 * least, 8 * bytesPerSecond)),
  }
}

function powerOfTwoBelow(count: number): number {
  return 2 ** Math.max(10, Math.floor(Math.log2(count)))
}
