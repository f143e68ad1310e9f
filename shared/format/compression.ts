// zstd at level 1: more costs more time than it saves bytes (shared figures: docs/format). Any level decodes.

import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'

const LEVEL = { [constants.ZSTD_c_compressionLevel]: 1 }
/** Stored raw unless compression gains this part: what hardly shrinks is not worth the time of each reader. */
const LEAST_GAIN = 0.03

/** The compressed bytes; undefined: not worth it, store them raw. */
export function compress(raw: Uint8Array): Uint8Array | undefined {
  // One output buffer that surely suffices, as growing it by pieces costs a tenth of the time.
  const chunkSize = raw.length + (raw.length >>> 7) + 1024
  const packed = zstdCompressSync(raw, { chunkSize, params: LEVEL })
  return packed.length <= raw.length * (1 - LEAST_GAIN) ? packed : undefined
}

/** Exactly `rawBytes` bytes, or an exception. */
export function decompress(packed: Uint8Array, rawBytes: number): Uint8Array {
  const raw = zstdDecompressSync(packed, { chunkSize: Math.max(64, rawBytes), maxOutputLength: Math.max(1, rawBytes) })
  if (raw.length !== rawBytes) throw new RangeError(`decompressed to ${raw.length} bytes, want ${rawBytes}`)
  return raw
}
