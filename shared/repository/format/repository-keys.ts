// Everything that is derived from the repository key: one key per kind of use, ids of contents, tags of volumes.

import { createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'
import { Blake3Hasher } from '@napi-rs/blake-hash'
import { asBuffer } from './bytes.ts'
import { AAD_MARK, FORMAT_VERSION, ID_BYTES } from './version.ts'

export const REPOSITORY_KEY_BYTES = 32
const REPOSITORY_ID = /^[0-9a-f]{32}$/

export class RepositoryKeys {
  /** 32 lower-case hex digits. */
  readonly repositoryId: string
  /** The repository key itself. It is kept in memory only. */
  readonly master: Uint8Array
  readonly #idBytes: Buffer
  readonly #chunkHasher: Blake3Hasher
  readonly #pageHasher: Blake3Hasher
  readonly #tagHasher: Blake3Hasher

  constructor(repositoryId: string, master: Uint8Array) {
    if (!REPOSITORY_ID.test(repositoryId)) throw new Error(`not a repository id: ${repositoryId}`)
    if (master.length !== REPOSITORY_KEY_BYTES) throw new Error(`repository key of ${master.length} bytes`)
    this.repositoryId = repositoryId
    this.master = master
    this.#idBytes = Buffer.from(repositoryId, 'hex')
    this.#chunkHasher = Blake3Hasher.newKeyed(this.#derive('chunk-id', this.#idBytes))
    this.#pageHasher = Blake3Hasher.newKeyed(this.#derive('page-id', this.#idBytes))
    this.#tagHasher = Blake3Hasher.newKeyed(this.#derive('tag', this.#idBytes))
  }

  /** Id of a chunk: keyed BLAKE3-256 of its plain bytes, cut to 16. */
  chunkId(raw: Uint8Array): Buffer {
    return keyedHash(this.#chunkHasher, raw).subarray(0, ID_BYTES)
  }

  /** Id of a map page or an index segment. It uses another key, so that a page cannot pass for a chunk. */
  pageId(raw: Uint8Array): Buffer {
    return keyedHash(this.#pageHasher, raw).subarray(0, ID_BYTES)
  }

  /** 16 hex digits that find a source's backups without revealing its id, which may be any text. */
  volumeTag(sourceId: string): string {
    return keyedHash(this.#tagHasher, Buffer.from(sourceId, 'utf8')).toString('hex', 0, 8)
  }

  snapshotTag(sourceId: string, snapshotId: string): string {
    return this.volumeTag(`${sourceId}:${snapshotId}`)
  }

  configMac(text: string): string {
    return createHmac('sha256', this.#derive('config', this.#idBytes)).update(text, 'utf8').digest('hex')
  }

  slotMac(text: string): string {
    return createHmac('sha256', this.#derive('key-slot-mac', this.#idBytes)).update(text, 'utf8').digest('hex')
  }

  /** A separate key for each pack, derived from the salt in the pack's header. */
  packKey(salt: Uint8Array): KeyObject {
    return createSecretKey(this.#derive('pack', salt))
  }

  objectKey(kind: string, salt: Uint8Array): KeyObject {
    return createSecretKey(this.#derive(`object/${kind}`, salt))
  }

  /** Additional data: mark, version, kind, repository, and the name of the object (a content id or an object key). */
  additionalData(kindCode: number, name: Uint8Array): Buffer {
    return Buffer.concat([Buffer.from(AAD_MARK, 'latin1'), Buffer.of(FORMAT_VERSION, kindCode), this.#idBytes, name])
  }

  #derive(label: string, salt: Uint8Array): Buffer {
    return Buffer.from(hkdfSync('sha256', this.master, salt, `dormouse/${FORMAT_VERSION}/${label}`, 32))
  }
}

function keyedHash(hasher: Blake3Hasher, bytes: Uint8Array): Buffer {
  hasher.reset()
  return hasher.update(asBuffer(bytes)).digestBuffer()
}
