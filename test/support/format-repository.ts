// A repository in a folder with everything that format 1 has, for readers other than Dormouse.

import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '#shared/kernel/clock.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import { MemoryDisk, MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { type Repository, requireRepository } from '#shared/repository/core/repository.ts'
import { encodeSegment, openIndexRun, sealIndexRun } from '#shared/repository/format/index-run.ts'
import { newSlotId, wrapForPublicKey } from '#shared/repository/format/key-slot.ts'
import { sealDoomList, sealRetireList, sealWaitList } from '#shared/repository/format/markers.ts'
import {
  doomKey,
  indexKey,
  keySlotKey,
  packKey,
  reachKey,
  retireKey,
  waitsKey,
} from '#shared/repository/format/names.ts'
import { PackBuilder, packBlob } from '#shared/repository/format/pack.ts'
import { PageNotes, RootNotes } from '#shared/repository/format/reach-notes.ts'
import { openRoot } from '#shared/repository/format/root.ts'
import { createRepositories } from '#shared/repository/repositories.ts'
import { folderStore } from '#test/support/stores.ts'
import { access, bytesOf, CHUNK_BYTES, EngineWorld, FCD, PAGE_CHUNKS } from './engine-world.ts'
import { HookedStore } from './store-faults.ts'
import { applyChanges } from './volume-history.ts'

const CHUNKS = 100
/** The last chunk is shorter, and so is the last page. */
const CAPACITY_BYTES = CHUNKS * CHUNK_BYTES + 512
const SECTORS_PER_CHUNK = CHUNK_BYTES / 512
const MADE_MS = 1_700_000_000_000
const NOTE = '00112233445566aa'
const PASSPHRASE = 'on paper'

export type MadeRepository = {
  folder: string
  /** Files with one secret each; each secret opens the repository. */
  secrets: Record<'password' | 'passphrase' | 'rsa' | 'x25519', string>
  backups: { name: string; sha256: string }[]
  /** A backup that was deleted: it has a tombstone in its place. */
  forgotten: string
}

/** Writes the repository to `<folder>/repository` and the secrets beside it. Keys and salts are new each time. */
export async function makeFormatRepository(folder: string): Promise<MadeRepository> {
  const store = folderStore(join(folder, 'repository'))
  // Not the cheap scrypt of other tests, because the costs are a part of the format.
  const repositories = createRepositories({
    storeOf: () => store,
    clock: systemClock,
    chunkBytes: CHUNK_BYTES,
    pageChunks: PAGE_CHUNKS,
    warn: () => {},
    sourceOf: blockSourceOf,
  })
  await repositories.ensure(access, { kind: 'passphrase', passphrase: PASSPHRASE })
  const repository = await requireRepository(store, access.password)
  const world = new EngineWorld(store)
  const content = new MemoryDiskContent(CAPACITY_BYTES, CHUNK_BYTES)
  const backups = await makeBackups(world, content)
  const forgotten = await world.backup(content, 'snapshot-forgotten')
  await world.repositories.forget(access, FCD, 'snapshot-forgotten')
  await leaveOthers(world, repository, content, backups[0]!.name)
  const pems = {
    rsa: await letIn(repository, rsaKeys()),
    x25519: await letIn(repository, generateKeyPairSync('x25519')),
  }
  const texts = { password: access.password, passphrase: `${PASSPHRASE}\n`, ...pems }
  return {
    folder: join(folder, 'repository'),
    secrets: filesOf(folder, texts),
    backups,
    forgotten: nameOf(forgotten),
  }
}

const nameOf = (root: string): string => root.replace('roots/', '')

const rsaKeys = () => generateKeyPairSync('rsa', { modulusLength: 2048 })

/** Adds a slot for a key pair; returns the private key. */
async function letIn(
  { store, keys }: Repository,
  pair: { publicKey: KeyObject; privateKey: KeyObject },
): Promise<string> {
  const slotId = newSlotId(keys.repositoryId)
  const publicPem = pair.publicKey.export({ format: 'pem', type: 'spki' }).toString()
  await store.putIfAbsent(keySlotKey(slotId), wrapForPublicKey(slotId, publicPem, keys))
  return pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
}

function filesOf<Name extends string>(folder: string, texts: Record<Name, string>): Record<Name, string> {
  const entries = Object.entries<string>(texts).map(([name, text]) => {
    const file = join(folder, name)
    writeFileSync(file, text)
    return [name, file]
  })
  return Object.fromEntries(entries)
}

/** Noise that is stored raw, text that is compressed, chunks that repeat, zeros that were written, and areas that never were. */
async function makeBackups(world: EngineWorld, content: MemoryDiskContent): Promise<MadeRepository['backups']> {
  const backups: MadeRepository['backups'] = []
  let parentRoot: string | undefined
  for (const [round, mode] of (['Allocated', 'Changed', 'Everything'] as const).entries()) {
    const write = (chunk: number, chunks: number, fill: number) =>
      ({ kind: 'write', sector: chunk * SECTORS_PER_CHUNK, sectors: chunks * SECTORS_PER_CHUNK, fill }) as const
    const areas = applyChanges(content, [write(3 + round, 20, 10 + round), write(30, 6, round), write(70, 4, 2)])
    const last = applyChanges(content, [
      { kind: 'write', sector: CHUNKS * SECTORS_PER_CHUNK, sectors: 1, fill: 20 + round },
    ])
    const text = Buffer.from(`round ${round}, a line of text. `.repeat(600)).subarray(0, 3 * CHUNK_BYTES)
    new MemoryDisk(content).write(50 * CHUNK_BYTES, text)
    parentRoot = await world.backup(content, `snapshot-${round}`, {
      changedAreas:
        mode === 'Changed'
          ? [...areas, { offsetBytes: 50 * CHUNK_BYTES, lengthBytes: text.length }, ...last]
          : undefined,
      tellsAllocation: mode !== 'Everything',
      parentRoot,
    })
    backups.push({ name: nameOf(parentRoot), sha256: createHash('sha256').update(bytesOf(content)).digest('hex') })
  }
  return backups
}

/** A checkpoint, an abandoned session, the lists of a collection, an index run with a segment in a pack, and notes of a survey. */
async function leaveOthers(world: EngineWorld, repository: Repository, content: MemoryDiskContent, backup: string) {
  const { store, keys } = repository
  const stopped = await stopInTheMiddle(world, content)
  await world.repositories.abandon(access, await world.newSession('snapshot-abandoned'))
  const retired = `${stopped}/0123456789abcdef`
  await store.putIfAbsent(retireKey('0001'), sealRetireList(keys, '0001', [retired], MADE_MS))
  await store.putIfAbsent(waitsKey('0001'), sealWaitList(keys, '0001', [stopped], MADE_MS))
  await store.putIfAbsent(doomKey('0001'), sealDoomList(keys, '0001', [retired], MADE_MS))
  await putRunWithSegment(repository, stopped, backup)
  await putNotes(repository, backup)
}

async function stopInTheMiddle(world: EngineWorld, content: MemoryDiskContent): Promise<string> {
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: CHUNKS * SECTORS_PER_CHUNK, fill: 25 }])
  const session = await world.newSession('snapshot-stopped')
  const stop = new AbortController()
  const stopping = new HookedStore(world.store, async ({ key }) => {
    if (key.startsWith('packs/')) stop.abort()
    return 'go on'
  })
  const request = { content, session, snapshotId: 'snapshot-stopped', signal: stop.signal, workers: 1 }
  const { state } = await world.through(stopping).uploadSlice(request)
  if (state !== 'more') throw new Error('the session was to be stopped in its middle')
  return session
}

async function putRunWithSegment({ store, keys }: Repository, session: string, backup: string): Promise<void> {
  const run = openIndexRun(keys, backup, (await store.get(indexKey(backup)))!, backup)
  const segment = encodeSegment(run.rest, run.rest.length)
  const pack = new PackBuilder(keys, `${session}/00000000000000aa`, Buffer.alloc(100_000))
  pack.append('segment', keys.pageId(segment), packBlob(segment))
  await store.putIfAbsent(packKey(pack.ref), pack.finish())
  await store.putIfAbsent(indexKey(session), sealIndexRun(keys, session, pack.blobs, encodeSegment(run.rest, 3)))
}

async function putNotes({ store, keys }: Repository, backup: string): Promise<void> {
  const bytes = (await store.get(`roots/${backup}`))!
  const { pages, version, requiredFeatures } = openRoot(keys, backup, bytes, backup)
  const [pageNotes, rootNotes] = [new PageNotes(), new RootNotes()]
  const ids = Array.from({ length: pages.length }, (_, page) => pages.get(page)?.id).filter((id) => id !== undefined)
  for (const id of ids) pageNotes.add(id, pages.packs)
  const digest = createHash('sha256').update(bytes).digest('hex')
  const note = { session: backup, digest, bytes: bytes.length, packs: pages.packs, pages: Buffer.concat(ids) }
  rootNotes.add({ ...note, modifiedMs: MADE_MS, needs: { version, requiredFeatures } })
  rootNotes.add({ ...note, why: 'forgotten', packs: [], pages: Buffer.alloc(0) })
  await store.putIfAbsent(reachKey('pages', NOTE), pageNotes.seal(keys, NOTE))
  await store.putIfAbsent(reachKey('roots', NOTE), rootNotes.seal(keys, NOTE))
}
