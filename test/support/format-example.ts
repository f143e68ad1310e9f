// The worked example of docs/format: fixed keys and salts, so that every byte can be written down.

import { createHash } from 'node:crypto'
import { NO_FEATURES } from '#shared/repository/format/features.ts'
import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import { sealSession } from '#shared/repository/format/markers.ts'
import { formatSession, packKey, sessionKey } from '#shared/repository/format/names.ts'
import { PackBuilder } from '#shared/repository/format/pack.ts'
import { encodeConfig } from '#shared/repository/format/repository-config.ts'
import { RepositoryKeys } from '#shared/repository/format/repository-keys.ts'
import { type Root, rootPayload } from '#shared/repository/format/root.ts'
import { encodeRootCopy } from '#shared/repository/format/root-copy.ts'

/** Bytes 00 01 02 …, from `first` on. */
export const counting = (bytes: number, first: number): Buffer =>
  Buffer.from(Array.from({ length: bytes }, (_, n) => (first + n) & 0xff))

/** `block`: which block of example.md shows it. */
export type FormatExample = { block: string; name: string; what: string; bytes: Buffer }

/**
 * A volume of 1 MiB in chunks of 256 KiB, of which only the third is not zero. It holds noise, so that no compression is
 * involved, whose bytes may change with the library.
 */
export function formatExample(): {
  facts: Record<string, string>
  objects: FormatExample[]
  keys: RepositoryKeys
  root: Root
  session: string
  /** The pack with the chunk, and where that lies; the pack with the page. */
  chunkPack: Buffer
  chunk: BlobLocation
  pagePack: Buffer
  copyPack: Buffer
} {
  const keys = new RepositoryKeys('000102030405060708090a0b0c0d0e0f', counting(32, 0x40))
  const config = { repositoryId: keys.repositoryId, chunkBytes: 262_144, pageChunks: 16, ...NO_FEATURES }
  const session = formatSession({
    volumeTag: keys.volumeTag('disk-1'),
    snapshotTag: keys.snapshotTag('disk-1', 'snapshot-1'),
    startedMs: 1_700_000_000_000,
    attempt: '00000001',
  })
  const noise = exampleChunk()
  const chunkId = keys.chunkId(noise)
  const pack = new PackBuilder(keys, `${session}/0000000000000001`, Buffer.alloc(300_000), counting(32, 0x60))
  pack.append('chunk', chunkId, { bytes: noise, rawBytes: noise.length, compressed: false })
  const chunkPack = Buffer.from(pack.finish())
  const map = new LocationTable(4)
  map.set(2, firstOf(pack.blobs))
  const page = map.encode()
  const pageId = keys.pageId(page)
  const pages = new PackBuilder(keys, `${session}/0000000000000002`, Buffer.alloc(1000), counting(32, 0x80))
  pages.append('page', pageId, { bytes: page, rawBytes: page.length, compressed: false })
  const pagePack = Buffer.from(pages.finish())
  const sealed = sealSession(keys, session, 1_700_000_000_000, counting(32, 0xa0))
  const root = exampleRoot(LocationTable.from([firstOf(pages.blobs)]))
  const payload = rootPayload(root)
  const copyPack = packOfCopy(keys, session, root, 0x10)
  const objects = [
    { block: 'config', name: 'config', what: 'the whole object', bytes: encodeConfig(keys, config) },
    {
      block: 'chunk pack, head',
      name: packKey(`${session}/0000000000000001`),
      what: 'header and first 16 bytes of the chunk',
      bytes: chunkPack.subarray(0, 56),
    },
    {
      block: 'chunk pack, end',
      name: packKey(`${session}/0000000000000001`),
      what: 'from the chunk’s tag on',
      bytes: chunkPack.subarray(40 + noise.length),
    },
    { block: 'page pack', name: packKey(`${session}/0000000000000002`), what: 'the whole object', bytes: pagePack },
    { block: 'page', name: 'the page', what: 'before it is sealed', bytes: page },
    { block: 'session', name: sessionKey(session), what: 'the whole object', bytes: sealed },
    { block: 'root', name: 'the root', what: 'its payload, before it is compressed and sealed', bytes: payload },
    { block: 'copy pack', name: packKey(`${session}/${root.copy}`), what: 'the whole object', bytes: copyPack },
  ]
  const facts = { session, chunkId: chunkId.toString('hex'), pageId: pageId.toString('hex') }
  return { facts, objects, keys, root, session, chunkPack, chunk: firstOf(pack.blobs), pagePack, copyPack }
}

/** The pack with the copy of a root, its salt counting from `first` on. */
export function packOfCopy(keys: RepositoryKeys, session: string, root: Root, first: number): Buffer {
  const raw = encodeRootCopy(session, root)
  const pack = new PackBuilder(keys, `${session}/${root.copy}`, Buffer.alloc(2000), counting(32, first))
  pack.append('root', keys.pageId(raw), { bytes: raw, rawBytes: raw.length, compressed: false })
  return Buffer.from(pack.finish())
}

/** SHA-256 of 0, 1, 2, … as 32-bit numbers, one after the other. */
export function exampleChunk(): Buffer {
  return Buffer.concat(
    Array.from({ length: 8192 }, (_, n) => {
      const number = Buffer.alloc(4)
      number.writeUInt32LE(n)
      return createHash('sha256').update(number).digest()
    }),
  )
}

function exampleRoot(pages: LocationTable): Root {
  return {
    version: 1,
    ...NO_FEATURES,
    about: { clusterId: 'cluster-1', createdMs: 1_700_000_000_000, claim: 'default/data' },
    source: {
      kind: 'block',
      diskId: 'disk-1',
      snapshotId: 'snapshot-1',
      capacityBytes: 1_048_576,
      chunkBytes: 262_144,
      pageChunks: 16,
      mode: 'Allocated',
    },
    parent: undefined,
    stats: { totalBytes: 262_144, bytesDone: 262_144, bytesRead: 262_144, bytesSent: 262_894, bytesStored: 262_894 },
    sealedMs: 1_700_000_001_000,
    copy: '0000000000000005',
    pages,
  }
}

export function firstOf(blobs: readonly BlobLocation[]): BlobLocation {
  const [first] = blobs
  if (first === undefined) throw new Error('the pack is empty')
  return first
}
