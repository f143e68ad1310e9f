// Packs: many sealed blobs in one object.
//
// magic 8 | salt 32 | blobs (ciphertext | tag 16) … | sealed footer | footer length 4 | trailer magic 8

import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto'
import { CorruptionError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import { asBuffer } from './bytes.ts'
import { type ChunkCodec, compress, decompress } from './compression.ts'
import type { BlobLocation } from './location-table.ts'
import type { RepositoryKeys } from './repository-keys.ts'
import { ID_BYTES, PACK_MAGIC, PACK_TRAILER_MAGIC, SALT_BYTES, TAG_BYTES } from './version.ts'

/** `root`: the copy of a root (root-copy.ts). */
const KIND_CODE = { chunk: 1, page: 2, segment: 3, footer: 4, root: 5 } as const
export type BlobKind = Exclude<keyof typeof KIND_CODE, 'footer'>
const BLOB_KINDS = ['chunk', 'page', 'segment', 'root'] as const satisfies BlobKind[]

/** Reasons of the CorruptionError for each kind of blob. */
export const BLOB_REASONS = {
  chunk: { corrupt: 'ChunkCorrupt', missing: 'ChunkMissing' },
  page: { corrupt: 'PageCorrupt', missing: 'PageMissing' },
  segment: { corrupt: 'IndexCorrupt', missing: 'IndexMissing' },
  root: { corrupt: 'RootCorrupt', missing: 'RootMissing' },
} as const satisfies Record<BlobKind, { corrupt: string; missing: string }>

const SALT_AT = 8
/** No writer makes a larger pack. */
export const MOST_PACK_BYTES = 16 * MiB
/** Magic and salt: what a reader needs besides a blob's bytes. */
export const PACK_HEADER_BYTES = SALT_AT + SALT_BYTES
export const PACK_TRAILER_BYTES = 12
/** id 16 | offset 4 | stored 4 | raw 4, top bit: compressed | kind 4 */
const FOOTER_ENTRY_BYTES = 32
const COMPRESSED_BIT = 0x8000_0000
const FOOTER_ID = Buffer.alloc(ID_BYTES)

/** Bytes that a pack of `blobs` blobs needs besides their ciphertext. */
export function packOverheadBytes(blobs: number): number {
  return PACK_HEADER_BYTES + TAG_BYTES * (blobs + 1) + FOOTER_ENTRY_BYTES * blobs + PACK_TRAILER_BYTES
}

/** Length of the footer before these last bytes of a pack; 0 when they are no trailer. */
export function footerBytes(trailer: Uint8Array): number {
  const end = asBuffer(trailer)
  return end.length === PACK_TRAILER_BYTES ? end.readUInt32LE(0) : 0
}

/** Fills one pack in place. A pack begins with its first blob, and nothing is added to it after `finish`. */
export class PackBuilder {
  /** `<session>/<16 hex>` */
  readonly ref: string
  readonly blobs: BlobLocation[] = []
  readonly #keys: RepositoryKeys
  readonly #key: KeyObject
  readonly #into: Buffer
  readonly #kinds: BlobKind[] = []
  #at = PACK_HEADER_BYTES

  /** Only tests that compare golden bytes pass `salt`. */
  constructor(keys: RepositoryKeys, ref: string, into: Uint8Array, salt: Uint8Array = randomBytes(SALT_BYTES)) {
    this.ref = ref
    this.#keys = keys
    this.#key = keys.packKey(salt)
    this.#into = asBuffer(into)
    this.#into.write(PACK_MAGIC, 0, 'latin1')
    this.#into.set(salt, SALT_AT)
  }

  /** Bytes of the pack if it were finished now. */
  get bytes(): number {
    return this.#at + TAG_BYTES + FOOTER_ENTRY_BYTES * this.blobs.length + PACK_TRAILER_BYTES
  }

  /** Seals a blob into the pack. false: it does not fit, and nothing was changed. */
  append(kind: BlobKind, id: Uint8Array, blob: PackedBlob): boolean {
    if (this.bytes + blob.bytes.length + TAG_BYTES + FOOTER_ENTRY_BYTES > this.#into.length) return false
    const offset = this.#at
    this.#seal(KIND_CODE[kind], id, blob.bytes)
    this.#kinds.push(kind)
    const storedBytes = this.#at - offset
    this.blobs.push({ id: Buffer.from(id), pack: this.ref, offset, storedBytes, ...withoutBytes(blob) })
    return true
  }

  /** Writes footer and trailer; the pack is the first `bytes` of the buffer. */
  finish(): Uint8Array {
    const footer = Buffer.alloc(FOOTER_ENTRY_BYTES * this.blobs.length)
    for (const [index, blob] of this.blobs.entries()) {
      const at = index * FOOTER_ENTRY_BYTES
      footer.set(blob.id, at)
      footer.writeUInt32LE(blob.offset, at + 16)
      footer.writeUInt32LE(blob.storedBytes, at + 20)
      footer.writeUInt32LE((blob.rawBytes | (blob.compressed ? COMPRESSED_BIT : 0)) >>> 0, at + 24)
      footer.writeUInt32LE(KIND_CODE[this.#kinds[index] ?? 'chunk'], at + 28)
    }
    const footerAt = this.#at
    this.#seal(KIND_CODE.footer, FOOTER_ID, footer)
    this.#into.writeUInt32LE(this.#at - footerAt, this.#at)
    this.#into.write(PACK_TRAILER_MAGIC, this.#at + 4, 'latin1')
    return this.#into.subarray(0, this.#at + PACK_TRAILER_BYTES)
  }

  #seal(kindCode: number, id: Uint8Array, plain: Uint8Array): void {
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonceAt(this.#at))
    cipher.setAAD(this.#keys.additionalData(kindCode, id))
    const sealed = cipher.update(plain)
    cipher.final()
    this.#into.set(sealed, this.#at)
    this.#into.set(cipher.getAuthTag(), this.#at + sealed.length)
    this.#at += sealed.length + TAG_BYTES
  }
}

/** A blob as it goes into the cipher. */
type PackedBlob = { bytes: Uint8Array; rawBytes: number; compressed: boolean }

/** With a codec, the codec's next call overwrites the result. */
export function packBlob(raw: Uint8Array, codec?: ChunkCodec): PackedBlob {
  const packed = codec === undefined ? compress(raw) : codec.compress(raw)
  return { bytes: packed ?? raw, rawBytes: raw.length, compressed: packed !== undefined }
}

/** Opens blobs of one pack. It is constructed from the pack's header. */
export class PackReader {
  readonly #keys: RepositoryKeys
  readonly #key: KeyObject
  readonly #where: string
  readonly #codec: ChunkCodec | undefined

  /**
   * `where` (the store's location and the pack's key) appears in error messages. With a codec, the codec's next call overwrites the
   * result of `open`.
   */
  constructor(keys: RepositoryKeys, header: Uint8Array, where: string, codec?: ChunkCodec) {
    const head = asBuffer(header)
    if (head.length < PACK_HEADER_BYTES || head.toString('latin1', 0, SALT_AT) !== PACK_MAGIC) {
      throw new CorruptionError('PackCorrupt', `pack ${where}: it does not begin with a pack's header`)
    }
    this.#keys = keys
    this.#where = where
    this.#codec = codec
    this.#key = keys.packKey(head.subarray(SALT_AT, PACK_HEADER_BYTES))
  }

  /** The raw bytes of a blob, authenticated and compared with its id. `sealed` are its stored bytes. */
  open(kind: BlobKind, location: BlobLocation, sealed: Uint8Array): Uint8Array {
    const refuse = (what: string, cause?: unknown) => {
      const name = `${kind} ${Buffer.from(location.id).toString('hex')} at ${location.offset} of ${this.#where}`
      return new CorruptionError(BLOB_REASONS[kind].corrupt, `${name}: ${what}`, { cause })
    }
    if (sealed.length !== location.storedBytes) {
      throw refuse(`${sealed.length} bytes are stored, want ${location.storedBytes}`)
    }
    let raw: Uint8Array
    try {
      const plain = this.#unseal(KIND_CODE[kind], location.id, location.offset, sealed)
      raw = location.compressed ? this.#decompress(plain, location.rawBytes) : plain
    } catch (error) {
      throw refuse('its bytes are not what was sealed', error)
    }
    const id = kind === 'chunk' ? this.#keys.chunkId(raw) : this.#keys.pageId(raw)
    if (!id.equals(location.id)) throw refuse(`its content has the id ${id.toString('hex')}`)
    return raw
  }

  #decompress(packed: Uint8Array, rawBytes: number): Uint8Array {
    return this.#codec === undefined ? decompress(packed, rawBytes) : this.#codec.decompress(packed, rawBytes)
  }

  /** The entries of the footer. `tail` are the pack's last bytes, which must contain the whole footer. */
  footer(tail: Uint8Array, packBytes: number): { kind: BlobKind; blob: BlobLocation }[] {
    const end = asBuffer(tail)
    const lengthAt = end.length - PACK_TRAILER_BYTES
    try {
      if (end.toString('latin1', lengthAt + 4) !== PACK_TRAILER_MAGIC) throw new RangeError('no trailer')
      const at = lengthAt - end.readUInt32LE(lengthAt)
      const offset = packBytes - end.length + at
      const plain = this.#unseal(KIND_CODE.footer, FOOTER_ID, offset, end.subarray(at, lengthAt))
      return footerEntries(plain, this.#where)
    } catch (error) {
      throw new CorruptionError('PackCorrupt', `pack ${this.#where}: its footer cannot be read`, { cause: error })
    }
  }

  #unseal(kindCode: number, id: Uint8Array, offset: number, sealed: Uint8Array): Buffer {
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonceAt(offset), { authTagLength: TAG_BYTES })
    decipher.setAAD(this.#keys.additionalData(kindCode, id))
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES))
    const plain = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES))
    decipher.final()
    return plain
  }
}

function footerEntries(plain: Buffer, pack: string): { kind: BlobKind; blob: BlobLocation }[] {
  return Array.from({ length: plain.length / FOOTER_ENTRY_BYTES }, (_, index) => {
    const entry = plain.subarray(index * FOOTER_ENTRY_BYTES, (index + 1) * FOOTER_ENTRY_BYTES)
    const code = entry.readUInt32LE(28)
    const kind = BLOB_KINDS.find((name) => KIND_CODE[name] === code)
    if (kind === undefined) throw new RangeError(`blob ${index} is of the unknown kind ${code}`)
    const raw = entry.readUInt32LE(24)
    const blob: BlobLocation = {
      id: entry.subarray(0, ID_BYTES),
      pack,
      offset: entry.readUInt32LE(16),
      storedBytes: entry.readUInt32LE(20),
      rawBytes: raw & ~COMPRESSED_BIT,
      compressed: (raw & COMPRESSED_BIT) !== 0,
    }
    return { kind, blob }
  })
}

function withoutBytes(blob: PackedBlob): { rawBytes: number; compressed: boolean } {
  return { rawBytes: blob.rawBytes, compressed: blob.compressed }
}

/** 96 bits, big-endian. Each pack has its own key, and no two blobs of a pack start at the same offset. */
function nonceAt(offset: number): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUInt32BE(offset, 8)
  return nonce
}
