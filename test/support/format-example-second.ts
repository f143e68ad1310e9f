// The second backup of the worked example of docs/format, and the objects of a repository other than backups.

import { createCipheriv, createHmac, hkdfSync, scryptSync } from 'node:crypto'
import { Bitmap } from '#shared/repository/format/bitmap.ts'
import { encodeParts } from '#shared/repository/format/bytes.ts'
import { type Checkpoint, sealCheckpoint } from '#shared/repository/format/checkpoint.ts'
import { sealIndexRun } from '#shared/repository/format/index-run.ts'
import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import {
  checkpointKey,
  formatSession,
  indexKey,
  keySlotKey,
  packKey,
  rootKey,
} from '#shared/repository/format/names.ts'
import { PackBuilder } from '#shared/repository/format/pack.ts'
import type { RepositoryKeys } from '#shared/repository/format/repository-keys.ts'
import { type Root, rootPayload, sealRoot } from '#shared/repository/format/root.ts'
import { type ObjectKind, openObject, sealObject } from '#shared/repository/format/sealed-object.ts'
import { counting, type FormatExample, firstOf, formatExample, packOfCopy } from './format-example.ts'

const DAY_MS = 86_400_000
const STARTED_MS = 1_700_000_000_000 + DAY_MS
export const EXAMPLE_PASSWORD = 'correct horse'
/** Cheap costs, so that a reader can follow the example; Dormouse writes 32768, 8, 3. */
const COSTS = { N: 1024, r: 8, p: 1 }
const SLOT_SALT = counting(32, 0x40)
const passwordKey = (): Buffer => scryptSync(EXAMPLE_PASSWORD, SLOT_SALT, 32, COSTS)

/**
 * `dormouse ` repeated to 262,144 bytes, compressed by zstd at level 1. A constant, because another version of the library may make other
 * bytes, which are equally valid.
 */
const TEXT_FRAME = Buffer.from(
  '28b52ffda0000004008c000048646f726d6f757365200100f4ffcccb114d000008750100fcff391002',
  'hex',
)
export const exampleText = (): Buffer => Buffer.alloc(262_144, 'dormouse ')

type First = ReturnType<typeof formatExample>

type Second = {
  facts: Record<string, string>
  objects: FormatExample[]
  /** The whole repository, both backups, by name. */
  repository: Map<string, Buffer>
}

/** Between the backups the second chunk was filled with text; the third is still the first backup's. */
export function secondExample(): Second {
  const first = formatExample()
  const { keys } = first
  const sessionAt = (snapshot: string, startedMs: number) =>
    formatSession({
      volumeTag: keys.volumeTag('disk-1'),
      snapshotTag: keys.snapshotTag('disk-1', snapshot),
      startedMs,
      attempt: '00000002',
    })
  const session = sessionAt('snapshot-2', STARTED_MS)
  const givenUp = sessionAt('snapshot-3', STARTED_MS + DAY_MS)
  const text = exampleText()
  const pack = new PackBuilder(keys, `${session}/0000000000000003`, Buffer.alloc(1000), counting(32, 0xc0))
  pack.append('chunk', keys.chunkId(text), { bytes: TEXT_FRAME, rawBytes: text.length, compressed: true })
  const textPack = Buffer.from(pack.finish())
  const chunk = firstOf(pack.blobs)
  const map = new LocationTable(4)
  map.set(1, chunk)
  map.set(2, first.chunk)
  const page = map.encode()
  const pages = new PackBuilder(keys, `${session}/0000000000000004`, Buffer.alloc(1000), counting(32, 0xe0))
  pages.append('page', keys.pageId(page), { bytes: page, rawBytes: page.length, compressed: false })
  const pagePack = Buffer.from(pages.finish())
  const root = rootOfSecond(first, LocationTable.from(pages.blobs), textPack.length + pagePack.length)
  const index = sealIndexRun(keys, session, [], LocationTable.from([chunk]).encode())
  const checkpoint = sealCheckpoint(keys, checkpointKey(session, 1, 1), checkpointOf(first, chunk, textPack.length))
  const slot = keySlot(`${keys.repositoryId}-00000001`, keys)
  const tombstone = sealObject(keys, 'tombstone', rootKey(givenUp), tombstonePayload(), counting(32, 0x20))
  const payload = (kind: ObjectKind, key: string, sealed: Buffer) =>
    Buffer.from(openObject(keys, kind, key, sealed, key))
  const whole = 'the whole object'
  const before = 'its payload, before it is compressed and sealed'
  const objects = [
    { block: 'key slot', name: keySlotKey(`${keys.repositoryId}-00000001`), what: whole, bytes: slot },
    { block: 'text pack', name: packKey(pack.ref), what: whole, bytes: textPack },
    { block: 'second page', name: 'the second page', what: 'before it is sealed', bytes: page },
    { block: 'second root', name: rootKey(session), what: before, bytes: rootPayload(root) },
    { block: 'index', name: indexKey(session), what: before, bytes: payload('index', indexKey(session), index) },
    {
      block: 'checkpoint',
      name: checkpointKey(session, 1, 1),
      what: before,
      bytes: payload('checkpoint', checkpointKey(session, 1, 1), checkpoint),
    },
    { block: 'tombstone', name: rootKey(givenUp), what: whole, bytes: tombstone },
  ]
  const config = first.objects.find(({ name }) => name === 'config')!.bytes
  const repository = new Map([
    ['config', config],
    [objects[0]!.name, slot],
    [packKey(`${first.session}/0000000000000001`), first.chunkPack],
    [packKey(`${first.session}/0000000000000002`), first.pagePack],
    [packKey(pack.ref), textPack],
    [packKey(pages.ref), pagePack],
    [packKey(`${first.session}/${first.root.copy}`), first.copyPack],
    [packKey(`${session}/${root.copy}`), packOfCopy(keys, session, root, 0x30)],
    [rootKey(first.session), sealRoot(keys, first.session, first.root)],
    [rootKey(session), sealRoot(keys, session, root)],
    [rootKey(givenUp), tombstone],
    [indexKey(session), index],
    [checkpointKey(session, 1, 1), checkpoint],
  ])
  const facts = {
    session,
    chunkId: Buffer.from(chunk.id).toString('hex'),
    pageId: keys.pageId(page).toString('hex'),
    givenUp,
    frame: TEXT_FRAME.toString('hex'),
    passwordKey: passwordKey().toString('hex'),
  }
  return { facts, objects, repository }
}

function rootOfSecond({ root, session }: First, pages: LocationTable, bytes: number): Root {
  return {
    ...root,
    about: { ...root.about, createdMs: STARTED_MS },
    source: { ...root.source, snapshotId: 'snapshot-2', mode: 'Changed', changeId: '52 de c0 de/2' },
    parent: rootKey(session),
    stats: { totalBytes: 262_144, bytesDone: 262_144, bytesRead: 262_144, bytesSent: bytes, bytesStored: bytes },
    sealedMs: STARTED_MS + 1000,
    copy: '0000000000000006',
    pages,
  }
}

/** As it may have been when the second chunk was stored and the fourth not yet read. */
function checkpointOf({ root, session, chunk: parents }: First, chunk: BlobLocation, bytes: number): Checkpoint {
  const plan = new Bitmap(4)
  plan.addRange(1, 2)
  plan.addRange(3, 4)
  const todo = new Bitmap(4)
  todo.add(3)
  const map = new LocationTable(4)
  map.set(1, chunk)
  map.set(2, parents)
  return {
    parent: rootKey(session),
    stats: { totalBytes: 524_288, bytesDone: 262_144, bytesRead: 262_144, bytesSent: bytes, bytesStored: bytes },
    finished: new Bitmap(1),
    pages: root.pages,
    openPages: [{ page: 0, map }],
    segments: [],
    newEntries: LocationTable.from([chunk]).encode(),
    unusable: new Set([`${session}/00000000000000ff`]),
    healed: undefined,
    source: { kind: 'block', capacityBytes: 1_048_576, mode: 'Changed', plannedPages: 1 },
    sourceParts: [plan.bytes, todo.bytes],
  }
}

const tombstonePayload = (): Buffer =>
  encodeParts({ why: 'abandoned', atMs: STARTED_MS + DAY_MS, checkpoint: '00000003-0002' }, [])

/** Named by the letter in bytes.md: what makes slots takes the salt as an argument. */
function keySlot(slotId: string, keys: RepositoryKeys): Buffer {
  const cipher = createCipheriv('aes-256-gcm', passwordKey(), Buffer.alloc(12))
  cipher.setAAD(Buffer.from(`dormouse/1/key-slot/password/${slotId}`))
  const wrapped = Buffer.concat([cipher.update(keys.master), cipher.final(), cipher.getAuthTag()]).toString('base64')
  const salt = SLOT_SALT.toString('base64')
  const lines = ['dormouse-repository-key', 1, slotId, 'password', COSTS.N, COSTS.r, COSTS.p, salt, wrapped]
  const macKey = hkdfSync('sha256', keys.master, Buffer.from(keys.repositoryId, 'hex'), 'dormouse/1/key-slot-mac', 32)
  const mac = createHmac('sha256', Buffer.from(macKey))
    .update(lines.map((line) => `${line}\n`).join(''))
    .digest('hex')
  const slot = { format: 'dormouse-repository-key', version: 1, kind: 'password' }
  const fields = { ...slot, scrypt: { ...COSTS, salt }, wrapped, mac }
  return Buffer.from(`${JSON.stringify(fields, undefined, 2)}\n`)
}
