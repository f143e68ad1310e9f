// The envelope of every small object (root, tombstone, index, checkpoint, session, lists of a prune).
//
// magic 8 | kind 1 | zero 7 | salt 32 | ciphertext | tag 16; plaintext = compressed 1 | raw length 4 | payload.

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { CorruptionError } from '#shared/kernel/errors.ts'
import { asBuffer } from './bytes.ts'
import { compress, decompress } from './compression.ts'
import type { RepositoryKeys } from './repository-keys.ts'
import { OBJECT_MAGIC, SALT_BYTES, TAG_BYTES } from './version.ts'

const KIND_CODE = {
  root: 0x41,
  tombstone: 0x42,
  index: 0x43,
  checkpoint: 0x44,
  session: 0x45,
  retire: 0x46,
  waits: 0x47,
  doom: 0x48,
  'reach-pages': 0x49,
  'reach-roots': 0x4a,
} as const
export type ObjectKind = keyof typeof KIND_CODE

/** Reason of the CorruptionError when an object of that kind does not open. */
const CORRUPT_REASON = {
  root: 'RootCorrupt',
  tombstone: 'RootCorrupt',
  index: 'IndexCorrupt',
  checkpoint: 'CheckpointCorrupt',
  session: 'SessionCorrupt',
  retire: 'RetireListCorrupt',
  waits: 'RetireListCorrupt',
  doom: 'RetireListCorrupt',
  'reach-pages': 'ReachNoteCorrupt',
  'reach-roots': 'ReachNoteCorrupt',
} as const satisfies Record<ObjectKind, string>

const SALT_AT = 16
const BODY_AT = SALT_AT + SALT_BYTES
/** Magic, kind and salt. Equal prefixes mean the same sealing, because the salt is random. */
export const SEALED_PREFIX_BYTES = BODY_AT
/** Each object has a fresh key, so all of them can use the same nonce. */
const NONCE = Buffer.alloc(12)

/** Only tests that compare golden bytes pass `salt`. */
export function sealObject(
  keys: RepositoryKeys,
  kind: ObjectKind,
  key: string,
  payload: Uint8Array,
  salt: Uint8Array = randomBytes(SALT_BYTES),
): Buffer {
  const packed = compress(payload)
  const lead = Buffer.alloc(5)
  lead.writeUInt8(packed === undefined ? 0 : 1, 0)
  lead.writeUInt32LE(payload.length, 1)
  const cipher = createCipheriv('aes-256-gcm', keys.objectKey(kind, salt), NONCE)
  cipher.setAAD(keys.additionalData(KIND_CODE[kind], Buffer.from(key, 'utf8')))
  const body = [cipher.update(lead), cipher.update(packed ?? payload), cipher.final()]
  const head = Buffer.alloc(SALT_AT)
  head.write(OBJECT_MAGIC, 0, 'latin1')
  head.writeUInt8(KIND_CODE[kind], 8)
  return Buffer.concat([head, salt, ...body, cipher.getAuthTag()])
}

/** The kind that the header claims; only opening the object proves it. undefined: not a sealed object. */
export function claimedKind(bytes: Uint8Array): ObjectKind | undefined {
  if (asBuffer(bytes).toString('latin1', 0, 8) !== OBJECT_MAGIC) return undefined
  return (Object.keys(KIND_CODE) as ObjectKind[]).find((kind) => KIND_CODE[kind] === bytes[8])
}

/** The payload. `where` (the store's location and the key) appears in the message of the CorruptionError. */
export function openObject(
  keys: RepositoryKeys,
  kind: ObjectKind,
  key: string,
  bytes: Uint8Array,
  where: string,
): Uint8Array {
  const refuse = (what: string, cause?: unknown) =>
    new CorruptionError(CORRUPT_REASON[kind], `${kind} ${where}: ${what}`, { cause })
  const all = asBuffer(bytes)
  if (all.length < BODY_AT + 5 + TAG_BYTES) throw refuse(`cut off at ${all.length} bytes`)
  if (claimedKind(all) !== kind) throw refuse('the header is not of this kind')
  const decipher = createDecipheriv('aes-256-gcm', keys.objectKey(kind, all.subarray(SALT_AT, BODY_AT)), NONCE, {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(keys.additionalData(KIND_CODE[kind], Buffer.from(key, 'utf8')))
  decipher.setAuthTag(all.subarray(all.length - TAG_BYTES))
  try {
    const plain = Buffer.concat([decipher.update(all.subarray(BODY_AT, all.length - TAG_BYTES)), decipher.final()])
    const payload = plain.subarray(5)
    return plain[0] === 1 ? decompress(payload, plain.readUInt32LE(1)) : payload
  } catch (error) {
    throw refuse('its bytes are not what was sealed for this key', error)
  }
}
