// Tests whether a chunk is all zeros by comparing it with itself, shifted: memcmp does this faster than any loop.

const SHIFT = 16

/** `bytes` has at least 16 bytes. */
export function isAllZero(bytes: Uint8Array): boolean {
  for (let index = 0; index < SHIFT; index++) if (bytes[index] !== 0) return false
  return Buffer.compare(bytes.subarray(0, bytes.length - SHIFT), bytes.subarray(SHIFT)) === 0
}
