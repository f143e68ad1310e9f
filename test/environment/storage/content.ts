// Data for volumes, the same for the same seed, and its fingerprint.

import { createCipheriv, createHash } from 'node:crypto'
import { open, stat } from 'node:fs/promises'

const MIB = 2 ** 20

/** Bytes that no compressor shrinks: a cipher's key stream. */
export function noise(seed: string, lengthBytes: number): Buffer {
  const key = createHash('sha256').update(seed).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(lengthBytes))
}

/** Lines of words, as logs and sources are made of; shrinks to about a third. */
export function prose(seed: string, lengthBytes: number): Buffer {
  const lines: string[] = []
  const dice = noise(seed, lengthBytes)
  for (let length = 0, at = 0; length < lengthBytes; ) {
    const words = Array.from({ length: 8 }, () => WORDS[dice[at++ % dice.length]! % WORDS.length])
    const line = `${dice.readUInt32LE(at % (dice.length - 4)).toString(16)} ${words.join(' ')}\n`
    lines.push(line)
    length += line.length
  }
  return Buffer.from(lines.join('')).subarray(0, lengthBytes)
}

const WORDS =
  'the volume of a claim is read once and kept in parts that are named by what they hold so that a part which was seen before is neither sent nor stored again while holes stay holes and text shrinks'.split(
    ' ',
  )

export type Piece = { offsetBytes: number; data: Uint8Array }

/** Writes the pieces into the file and makes them durable; what is between them is left as it is. */
export async function writePieces(file: string, pieces: Piece[]): Promise<void> {
  const handle = await open(file, 'r+')
  try {
    for (const { offsetBytes, data } of pieces) await handle.write(data, 0, data.length, offsetBytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  const handle = await open(file, 'r')
  const buffer = Buffer.alloc(4 * MIB)
  try {
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length)
      if (bytesRead === 0) return hash.digest('hex')
      hash.update(buffer.subarray(0, bytesRead))
    }
  } finally {
    await handle.close()
  }
}

/** What the file takes on its file system; holes take nothing. */
export async function allocatedBytes(file: string): Promise<number> {
  return (await stat(file)).blocks * 512
}
