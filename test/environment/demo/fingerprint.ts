// The content of a volume, read once: its hash, and a checksum of each 64 KiB, so that two states can be compared.

import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'

export type Fingerprint = { sha256: string; grains: number[] }

/** The unit in which vSphere tracks changes. */
const GRAIN_BYTES = 64 * 1024
const READ_BYTES = 64 * GRAIN_BYTES

export async function fingerprint(file: string): Promise<Fingerprint> {
  const whole = createHash('sha256')
  const grains: number[] = []
  const handle = await open(file, 'r')
  const buffer = Buffer.alloc(READ_BYTES)
  try {
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, READ_BYTES)
      if (bytesRead === 0) return { sha256: whole.digest('hex'), grains }
      const read = buffer.subarray(0, bytesRead)
      whole.update(read)
      for (let at = 0; at < bytesRead; at += GRAIN_BYTES) {
        grains.push(crc32(read.subarray(at, at + GRAIN_BYTES)))
      }
    }
  } finally {
    await handle.close()
  }
}

export function changedBytes(before: Fingerprint, after: Fingerprint): number {
  return after.grains.filter((sum, index) => sum !== before.grains[index]).length * GRAIN_BYTES
}
