// Data for volumes, the same for the same seed, and its fingerprint.

import { createCipheriv, createHash } from 'node:crypto'
import { open, stat } from 'node:fs/promises'

const MIB = 2 ** 20

/** Bytes that do not compress: a cipher's key stream. */
export function noise(seed: string, lengthBytes: number): Buffer {
  const key = createHash('sha256').update(seed).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(lengthBytes))
}

/** Numbered sentences, like those of logs and sources, which compress well. */
export function prose(seed: string, lengthBytes: number): Buffer {
  const text = Buffer.alloc(lengthBytes)
  const dice = noise(seed, Math.ceil(lengthBytes / 3) + 6)
  for (let at = 0, roll = 0; at < lengthBytes; roll += 6) {
    const number = dice.readUIntBE(roll, 6)
    at += text.write(`${number} ${SENTENCES[number % SENTENCES.length]}\n`, at, 'latin1')
  }
  return text
}

const WORDS = 'volume claim snapshot block chunk bucket restore queue slice index pack hole copy key root'.split(' ')
const VERBS = 'reads writes keeps sends finds drops names counts moves checks'.split(' ')
/** All combinations of subject, verb and object. */
const SENTENCES = WORDS.flatMap((who) => VERBS.flatMap((does) => WORDS.map((what) => `the ${who} ${does} a ${what}`)))

export type Piece = { offsetBytes: number; data: Uint8Array }

/** Writes the pieces into the file and flushes them; what is between them stays unchanged. */
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

/** The space that the file takes on its file system; holes take none. */
export async function allocatedBytes(file: string): Promise<number> {
  return (await stat(file)).blocks * 512
}
