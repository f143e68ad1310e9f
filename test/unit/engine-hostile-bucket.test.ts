// How much a function holds, reads and does when an attacker can write the bucket, or when the store lies: everything has a bound.

import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB, MiB } from '#shared/kernel/units.ts'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { boundedStore } from '#shared/repository/core/bounded-store.ts'
import { formatSession, parseSession } from '#shared/repository/format/names.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, CHUNK_BYTES, EngineWorld, FCD } from '#test/support/engine-world.ts'
import { reasonOf } from '#test/support/reason.ts'
import { folderStore } from '#test/support/stores.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: a hostile bucket')

class CountingStore extends MemoryObjectStore {
  mostBytes = 0
  bytesRead = 0
  reads = 0

  override async get(key: string) {
    return this.#count(await super.get(key))
  }

  override async getRange(key: string, offset: number, length: number) {
    return this.#count(await super.getRange(key, offset, length))
  }

  #count(bytes: Uint8Array | undefined) {
    this.reads++
    this.bytesRead += bytes?.length ?? 0
    this.mostBytes = Math.max(this.mostBytes, bytes?.length ?? 0)
    return bytes
  }
}

async function aBackup<S extends MemoryObjectStore>(store: S) {
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(40 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 200, fill: 7 }])
  const root = await world.backup(content, 's0')
  return { store, world, content, root }
}

/** A session of the same disk snapshot that began `laterMs` later. */
const sibling = (root: string, laterMs: number) => {
  const parts = parseSession(root.slice('roots/'.length))!
  return formatSession({ ...parts, startedMs: parts.startedMs + laterMs })
}

test('an object that is larger than any of its kind is not taken into memory', async () => {
  const { store, world, root } = await aBackup(new CountingStore())
  const huge = Buffer.alloc(100 * MiB)
  for (const key of [root, 'retire/00', `index/${sibling(root, 5)}`, `checkpoint/${sibling(root, 6)}/00000001-0001`]) {
    const before = store.objects.get(key)
    store.objects.set(key, { body: huge, modifiedMs: 0 })
    store.mostBytes = 0
    const session = sibling(root, 6)
    const content = new MemoryDiskContent(40 * CHUNK_BYTES, CHUNK_BYTES)
    await Promise.allSettled([
      world.repositories.find(access, FCD, 's0'),
      world.repositories.backupsOf(access, FCD),
      world.uploadSlice({ content, session, snapshotId: 's1' }),
      world.restoreSlice(new MemoryDiskContent(40 * CHUNK_BYTES), root),
      world.repositories.prune(access, { sliceMs: 1000, sessionIdleMs: 1000, signal: new AbortController().signal }),
    ])
    assert.ok(store.mostBytes <= 64 * MiB + 1, `${key}: ${store.mostBytes} bytes`)
    if (!key.startsWith('checkpoint')) assert.ok(store.mostBytes <= 8 * MiB + 1, `${key}: ${store.mostBytes} bytes`)
    if (before === undefined) store.objects.delete(key)
    else store.objects.set(key, before)
  }
  store.objects.set(root, { body: huge, modifiedMs: 0 })
  assert.is(await reasonOf(world.restoreSlice(new MemoryDiskContent(40 * CHUNK_BYTES), root)), 'RootCorrupt')
})

test('planted roots of a volume are not held all at once, and the good one is found beside them', async () => {
  const { store, world, root } = await aBackup(new CountingStore())
  for (let n = 1; n <= 30; n++)
    store.objects.set(`roots/${sibling(root, -n)}`, { body: Buffer.alloc(MiB), modifiedMs: 0 })
  assert.equal(
    (await world.repositories.backupsOf(access, FCD)).map((found) => found.root),
    [root],
  )
  store.bytesRead = 0
  assert.is((await world.repositories.find(access, FCD, 's0'))?.root, root)
  assert.ok(store.bytesRead < MiB, 'only the newest is read')
  for (let n = 31; n <= 200; n++)
    store.objects.set(`roots/${sibling(root, -n)}`, { body: Buffer.alloc(MiB), modifiedMs: 0 })
  assert.is(await reasonOf(world.repositories.forget(access, FCD, 's0')), 'RepositoryFlooded')
})

test('checkpoints that do not open are tried a few times, not for ever', async () => {
  const { store, world, content, root } = await aBackup(new CountingStore())
  const session = sibling(root, 7)
  for (let n = 0; n < 3000; n++)
    store.objects.set(`checkpoint/${session}/00000001-${String(n).padStart(4, '0')}`, {
      body: Buffer.alloc(KiB),
      modifiedMs: 0,
    })
  store.reads = 0
  assert.is((await world.uploadSlice({ content, session, snapshotId: 's1', slice: 2 })).state, 'sealed')
  assert.ok(store.reads < 200, `${store.reads} reads`)
})

test('a list of more objects than a repository has ends with a reason', async () => {
  const endless = new MemoryObjectStore()
  endless.list = async function* () {
    for (let n = 0; ; n++) yield { key: `retire/${n.toString(16).padStart(16, '0')}`, bytes: 1, modifiedMs: 0 }
  }
  let seen = 0
  const collect = async () => {
    for await (const _ of boundedStore(endless).list('retire/')) seen++
  }
  assert.is(await reasonOf(collect()), 'RepositoryFlooded')
  assert.ok(seen <= 10_000)
})

test('a deletion that the store reports without doing it never counts as done', async () => {
  for (const lie of ['delete', 'put', 'both'] as const) {
    const { store, world, root } = await aBackup(new MemoryObjectStore())
    if (lie !== 'put') store.delete = async () => {}
    if (lie !== 'delete') store.putIfAbsent = async () => true
    assert.is(await reasonOf(world.repositories.forget(access, FCD, 's0')), 'DeletionUnconfirmed', lie)
    assert.is(store.objects.has(root), lie !== 'put')
  }
})

test('a session is given up only when its tombstone is there', async () => {
  const { store, world, root } = await aBackup(new MemoryObjectStore())
  store.putIfAbsent = async () => false
  assert.is(await reasonOf(world.repositories.abandon(access, sibling(root, 9))), 'DeletionUnconfirmed')
})

test('a folder that is not mounted any more does not count as an empty repository', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dormouse-folder-'))
  const [place, away] = [join(folder, 'mount'), join(folder, 'away')]
  await mkdir(place)
  try {
    for (const isEmpty of [true, false]) {
      const store = folderStore(place)
      await store.putIfAbsent('roots/a', Buffer.from('x'))
      await rename(place, away)
      if (isEmpty) await mkdir(place)
      assert.is(await reasonOf(Array.fromAsync(store.list('roots/'))), 'StoreUnavailable')
      assert.is(await reasonOf(store.get('roots/a')), 'StoreUnavailable')
      assert.is(await reasonOf(store.getRange('roots/a', 0, 1)), 'StoreUnavailable')
      assert.is(await reasonOf(store.delete('roots/a')), 'StoreUnavailable')
      assert.is(await reasonOf(store.putIfAbsent('roots/b', Buffer.from('x'))), 'StoreUnavailable')
      await rm(place, { recursive: true, force: true })
      await rename(away, place)
      assert.equal(
        (await Array.fromAsync(store.list(''))).map(({ key }) => key),
        ['roots/a'],
      )
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test("names planted among a session's packs take no memory beyond what the table of known chunks may name", async () => {
  const { store, world, content, root } = await aBackup(new MemoryObjectStore())
  const folder = `packs/${root.slice('roots/'.length)}/`
  const list = store.list.bind(store)
  let listed = 0
  store.list = async function* (prefix: string) {
    if (prefix !== folder) return yield* list(prefix)
    for (; listed < 200_000; listed++)
      yield { key: `${folder}${listed.toString(16).padStart(16, '0')}`, bytes: 1, modifiedMs: 1 }
    yield* list(prefix)
  } as MemoryObjectStore['list']
  const other = new MemoryDiskContent(content.capacityBytes, CHUNK_BYTES)
  applyChanges(other, [{ kind: 'write', sector: 0, sectors: 200, fill: 7 }])
  const session = await world.newSession('s1')
  const { state } = await world.uploadSlice({ content: other, session, snapshotId: 's1' })
  assert.is(state, 'sealed')
  assert.ok(listed > 0 && listed < 200_000, `${listed} names were looked at`)
})

test.run()
