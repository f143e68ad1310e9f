// Reads a key slot. Anybody who can write to the bucket can put any JSON into a slot's place, so each field is checked before it is used.

import { jsonObjectIn } from './bytes.ts'
import { MOST_SLOT_BYTES } from './key-slot.ts'
import { REPOSITORY_KEY_BYTES } from './repository-keys.ts'
import type { KeySlot, PassphraseSlot, RsaSlot, X25519Slot } from './slot-fields.ts'
import { FORMAT_VERSION, SLOT_MARK, TAG_BYTES } from './version.ts'

const SALT_BYTES = 32
const GCM_WRAPPED_BYTES = REPOSITORY_KEY_BYTES + TAG_BYTES
/** RSA keys of 2048 to 16,384 bits. */
const LEAST_RSA_WRAPPED_BYTES = 256
const MOST_RSA_WRAPPED_BYTES = 2048
/** A SubjectPublicKeyInfo of an X25519 key. */
const EPHEMERAL_BYTES = 44

type Json = Readonly<Record<string, unknown>>

/**
 * Only the fields that a slot of its kind has; others are left out. undefined: not a slot that this version understands. Such a slot is
 * skipped, and reported as damaged once another one has opened.
 */
export function decodeSlot(bytes: Uint8Array): KeySlot | undefined {
  if (bytes.length > MOST_SLOT_BYTES) return undefined
  const fields = jsonObjectIn(bytes)
  if (fields?.['format'] !== SLOT_MARK || fields['version'] !== FORMAT_VERSION) return undefined
  const wrapping = passphraseIn(fields) ?? rsaIn(fields) ?? x25519In(fields)
  const { mac } = fields
  return wrapping && (typeof mac === 'string' ? { ...wrapping, mac } : wrapping)
}

type Wrapped<T> = T & { wrapped: string }

function passphraseIn({ kind, scrypt, wrapped }: Json): Wrapped<PassphraseSlot> | undefined {
  if (kind !== 'password' && kind !== 'recovery-passphrase') return undefined
  if (typeof scrypt !== 'object' || scrypt === null) return undefined
  const { N, r, p, salt } = scrypt as Json
  // The bounds of the costs are checked when slots are chosen to be tried.
  if (typeof N !== 'number' || typeof r !== 'number' || typeof p !== 'number') return undefined
  if (!isBase64(salt, SALT_BYTES) || !isBase64(wrapped, GCM_WRAPPED_BYTES)) return undefined
  return { kind, scrypt: { N, r, p, salt }, wrapped }
}

function rsaIn({ kind, algorithm, wrapped }: Json): Wrapped<RsaSlot> | undefined {
  if (kind !== 'recovery-public-key' || algorithm !== 'rsa-oaep-sha256') return undefined
  return isBase64(wrapped, LEAST_RSA_WRAPPED_BYTES, MOST_RSA_WRAPPED_BYTES) ? { kind, algorithm, wrapped } : undefined
}

function x25519In({ kind, algorithm, ephemeral, wrapped }: Json): Wrapped<X25519Slot> | undefined {
  if (kind !== 'recovery-public-key' || algorithm !== 'x25519-hkdf-aes-256-gcm') return undefined
  if (!isBase64(ephemeral, EPHEMERAL_BYTES) || !isBase64(wrapped, GCM_WRAPPED_BYTES)) return undefined
  return { kind, algorithm, ephemeral, wrapped }
}

/** Whether it is the base64 of `least` to `most` bytes. */
function isBase64(text: unknown, least: number, most = least): text is string {
  if (typeof text !== 'string' || text.length > Math.ceil(most / 3) * 4) return false
  const bytes = Buffer.from(text, 'base64')
  return bytes.length >= least && bytes.length <= most && bytes.toString('base64') === text
}
