// Key slots: objects `keys/<repository id>-<8 hex>`. Each holds the repository key, wrapped by one secret.

import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  type ScryptOptions,
  scrypt,
  scryptSync,
} from 'node:crypto'
import { TerminalError } from '#shared/kernel/errors.ts'
import { KiB, MiB } from '#shared/kernel/units.ts'
import { REPOSITORY_KEY_BYTES, type RepositoryKeys } from './repository-keys.ts'
import type { KeySlot, PassphraseSlot, RsaSlot, ScryptCost, SlotKind, X25519Slot } from './slot-fields.ts'
import { encodeSlot } from './slot-mac.ts'
import { FORMAT_VERSION, TAG_BYTES } from './version.ts'

/** 32 MiB and about a quarter of a second: affordable for a small function, and costly for an attacker who guesses passwords. */
export const DEFAULT_SCRYPT: ScryptCost = { N: 2 ** 15, r: 8, p: 3 }
/** An RSA key of 16,384 bits makes a slot of 3 KiB. */
export const MOST_SLOT_BYTES = 16 * KiB
/** A planted slot must not make a reader spend more than this: memory in use at one time, and memory processed in total. */
const MOST_SCRYPT_BYTES = 64 * MiB
export const MOST_SLOT_WORK_BYTES = 512 * MiB
/** Total work of the slots that one attempt tries: 16 of the default cost, about four seconds. One recovery passphrase comes on top. */
export const MOST_WORK_BYTES = 1536 * MiB
/** Less work than this runs at once on the calling thread: passing it to another thread takes longer. */
const LEAST_POOL_WORK_BYTES = 64 * KiB
/** Trying such a slot uses a private key once, for some milliseconds. */
const PUBLIC_KEY_WORK_BYTES = MiB
const LEAST_RSA_BITS = 2048

export function newSlotId(repositoryId: string): string {
  return `${repositoryId}-${randomBytes(4).toString('hex')}`
}

/** LIST prefix of a repository's slots, below `keys/`. */
export const slotPrefix = (repositoryId: string): string => `${repositoryId}-`

export async function wrapWithPassphrase(
  slotId: string,
  kind: PassphraseSlot['kind'],
  passphrase: string,
  keys: RepositoryKeys,
  cost: ScryptCost = DEFAULT_SCRYPT,
): Promise<Buffer> {
  const salt = randomBytes(32)
  const wrapped = gcmWrap(await scryptKey(passphrase, salt, cost), slotId, kind, keys.master)
  return encodeSlot(keys, slotId, { kind, scrypt: { ...cost, salt: salt.toString('base64') }, wrapped })
}

/** `pem`: an RSA (2048 bits or more) or X25519 public key. */
export function wrapForPublicKey(slotId: string, pem: string, keys: RepositoryKeys): Buffer {
  const kind = 'recovery-public-key'
  const recipient = readKey(() => createPublicKey(pem))
  if (recipient.asymmetricKeyType === 'rsa') {
    const bits = recipient.asymmetricKeyDetails?.modulusLength ?? 0
    if (bits < LEAST_RSA_BITS) throw keyInvalid(`an RSA key of ${bits} bits is too short`)
    const sealed = publicEncrypt({ key: recipient, oaepHash: 'sha256', oaepLabel: label(slotId, kind) }, keys.master)
    return encodeSlot(keys, slotId, { kind, algorithm: 'rsa-oaep-sha256', wrapped: sealed.toString('base64') })
  }
  if (recipient.asymmetricKeyType === 'x25519') {
    const own = generateKeyPairSync('x25519')
    const key = agreedKey(own.privateKey, recipient, own.publicKey)
    const wrapped = gcmWrap(key, slotId, kind, keys.master)
    return encodeSlot(keys, slotId, {
      kind,
      algorithm: 'x25519-hkdf-aes-256-gcm',
      ephemeral: spki(own.publicKey),
      wrapped,
    })
  }
  throw keyInvalid(`a key of type ${recipient.asymmetricKeyType} cannot wrap, use RSA or X25519`)
}

/** The work of trying this slot, in bytes that scrypt processes; undefined: more than any slot may cost, so it is not tried. */
export function slotWorkBytes(slot: KeySlot): number | undefined {
  if (slot.kind === 'recovery-public-key') return PUBLIC_KEY_WORK_BYTES
  const { N, r, p } = slot.scrypt ?? {}
  if (
    ![N, r, p].every((value) => Number.isSafeInteger(value) && value >= 1) ||
    N < 2 ||
    !Number.isInteger(Math.log2(N))
  ) {
    return undefined
  }
  const bytes = workBytes({ N, r, p })
  return bytes / p <= MOST_SCRYPT_BYTES && bytes <= MOST_SLOT_WORK_BYTES ? bytes : undefined
}

export const workBytes = ({ N, r, p }: ScryptCost): number => 128 * N * r * p

/** A private key in PEM form. */
export const isPrivateKey = (secret: string): boolean => secret.includes('PRIVATE KEY-----')

/** The repository key; undefined: the secret does not open this slot. `secret`: a password, a passphrase or a private key as PEM. */
export async function unwrapSlot(slotId: string, slot: KeySlot, secret: string): Promise<Uint8Array | undefined> {
  try {
    const master =
      slot.kind === 'recovery-public-key'
        ? unwrapPrivate(slotId, slot, secret)
        : await unwrapPassphrase(slotId, slot, secret)
    return master?.length === REPOSITORY_KEY_BYTES ? master : undefined
  } catch {
    return undefined
  }
}

async function unwrapPassphrase(
  slotId: string,
  slot: PassphraseSlot & { wrapped: string },
  secret: string,
): Promise<Uint8Array> {
  if (slotWorkBytes(slot) === undefined) throw new RangeError('scrypt costs beyond all reason')
  const { N, r, p, salt } = slot.scrypt
  const key = await scryptKey(secret, Buffer.from(salt, 'base64'), { N, r, p })
  return gcmUnwrap(key, slotId, slot.kind, slot.wrapped)
}

function unwrapPrivate(
  slotId: string,
  slot: (RsaSlot | X25519Slot) & { wrapped: string },
  pem: string,
): Uint8Array | undefined {
  if (!isPrivateKey(pem)) return undefined
  const own = createPrivateKey(pem)
  if (slot.algorithm === 'rsa-oaep-sha256') {
    const options = { key: own, oaepHash: 'sha256', oaepLabel: label(slotId, slot.kind) }
    return privateDecrypt(options, Buffer.from(slot.wrapped, 'base64'))
  }
  const ephemeral = createPublicKey({ key: Buffer.from(slot.ephemeral, 'base64'), format: 'der', type: 'spki' })
  return gcmUnwrap(agreedKey(own, ephemeral, ephemeral), slotId, slot.kind, slot.wrapped)
}

/** Runs in a thread of the pool: it takes a quarter of a second, and a Lease must be renewed meanwhile. */
async function scryptKey(passphrase: string, salt: Uint8Array, cost: ScryptCost): Promise<Buffer> {
  const { N, r, p } = cost
  // OpenSSL needs a little more than the working memory.
  const options = { N, r, p, maxmem: 128 * N * r + 2 * MiB }
  const text = passphrase.normalize('NFC')
  if (workBytes(cost) <= LEAST_POOL_WORK_BYTES) return scryptSync(text, salt, KEY_BYTES, options)
  const turn = last.then(() => scryptInPool(text, salt, options))
  last = turn.catch(() => {})
  return await turn
}

const KEY_BYTES = 32
/** One derivation after the other: each takes 32 MiB of a small function's memory. */
let last: Promise<unknown> = Promise.resolve()

function scryptInPool(text: string, salt: Uint8Array, options: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(text, salt, KEY_BYTES, options, (error, key) => (error === null ? resolve(key) : reject(error)))
  })
}

function agreedKey(privateKey: KeyObject, publicKey: KeyObject, ephemeral: KeyObject): Buffer {
  const secret = diffieHellman({ privateKey, publicKey })
  return Buffer.from(hkdfSync('sha256', secret, Buffer.from(spki(ephemeral), 'base64'), 'dormouse/1/key-slot', 32))
}

/** Each wrapping key is used only once, so an all-zero nonce is as good as any. */
function gcmWrap(key: Uint8Array, slotId: string, kind: SlotKind, master: Uint8Array): string {
  const cipher = createCipheriv('aes-256-gcm', key, Buffer.alloc(12)).setAAD(label(slotId, kind))
  return Buffer.concat([cipher.update(master), cipher.final(), cipher.getAuthTag()]).toString('base64')
}

function gcmUnwrap(key: Uint8Array, slotId: string, kind: SlotKind, wrapped: string): Uint8Array {
  const all = Buffer.from(wrapped, 'base64')
  const decipher = createDecipheriv('aes-256-gcm', key, Buffer.alloc(12), { authTagLength: TAG_BYTES })
  decipher.setAAD(label(slotId, kind))
  decipher.setAuthTag(all.subarray(all.length - TAG_BYTES))
  return Buffer.concat([decipher.update(all.subarray(0, all.length - TAG_BYTES)), decipher.final()])
}

/** Binds a wrapped key to its slot, and so to its repository. */
function label(slotId: string, kind: SlotKind): Buffer {
  return Buffer.from(`dormouse/${FORMAT_VERSION}/key-slot/${kind}/${slotId}`, 'utf8')
}

const spki = (key: KeyObject): string => key.export({ format: 'der', type: 'spki' }).toString('base64')

function readKey(read: () => KeyObject): KeyObject {
  try {
    return read()
  } catch (error) {
    throw keyInvalid('it is no public key in PEM form', error)
  }
}

function keyInvalid(what: string, cause?: unknown): TerminalError {
  return new TerminalError('RecoveryKeyInvalid', `recovery-public-key: ${what}`, { cause })
}
