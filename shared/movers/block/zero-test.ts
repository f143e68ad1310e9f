// Whether a chunk is all zeros: compared with itself, shifted, which memcmp does faster than any loop.

const SHIFT = 16

/** `bytes` is at least 16 long. */
export function isAllZero(bytes: Uint8Array): boolean {
  for (let index = 0; index < SHIFT; index++) if (bytes[index] !== 0) return false
  return Buffer.compare(bytes.subarray(0, bytes.length - SHIFT), bytes.subarray(SHIFT)) === 0
}
