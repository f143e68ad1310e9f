// Before a backup is sealed, the upload notices what earlier backups have lost and reads it from the disk again: the new backup is whole.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { BlobReader } from '#shared/repository/core/blob-reader.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import { LocationTable } from '#shared/repository/format/location-table.ts'
import { sealRetireList } from '#shared/repository/format/markers.ts'
import { packKey, retireKey } from '#shared/repository/format/names.ts'
import { openRoot } from '#shared/repository/format/root.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, bytesOf, CHUNK_BYTES, EngineWorld, type UploadOptions } from '#test/support/engine-world.ts'
import { keysOf, restores } from '#test/support/prune-world.ts'
import { copyPacks } from '#test/support/root-copies.ts'
import { dyingAt, HookedStore } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: healing')

const CHUNKS = 120

/** A first backup of several packs and pages; `packs`: those that it needs. */
async function firstBackup() {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(CHUNKS * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 900, fill: 7 }])
  const parentRoot = await world.backup(content.snapshot(), 's0')
  const copies = await copyPacks(store)
  const packs = keysOf(store, 'packs/').filter((key) => !copies.has(key))
  return { store, world, content, parentRoot, packs }
}

async function rootOf(store: MemoryObjectStore, key: string) {
  const { keys } = await requireRepository(store, access.password)
  return openRoot(keys, key.slice('roots/'.length), store.objects.get(key)!.body, key)
}

/** Runs slice after slice until the session is sealed; returns the number of slices. */
async function upload(world: EngineWorld, request: UploadOptions): Promise<number> {
  for (let slice = 1; slice < 20; slice++) {
    if ((await world.uploadSlice({ ...request, slice })).state === 'sealed') return slice
  }
  throw new Error('it never ends')
}

const harms = {
  'is lost': (store: MemoryObjectStore, pack: string) => void store.objects.delete(pack),
  'is cut off': (store: MemoryObjectStore, pack: string) => {
    const entry = store.objects.get(pack)!
    store.objects.set(pack, { ...entry, body: entry.body.slice(0, 300) })
  },
}

for (const [what, harm] of Object.entries(harms)) {
  for (const how of ['changes', 'allocated', 'everything'] as const) {
    test(`a pack of the first backup ${what}: the next one says so and is whole (${how})`, async () => {
      const { packs } = await firstBackup()
      for (const which of packs.keys()) {
        const { store, world, content, parentRoot, packs } = await firstBackup()
        harm(store, packs[which]!)
        const changedAreas = applyChanges(content, [{ kind: 'write', sector: 200, sectors: 8, fill: 9 }])
        const session = await world.newSession('s1')
        const request = {
          content,
          session,
          snapshotId: 's1',
          parentRoot,
          changedAreas: how === 'changes' ? changedAreas : undefined,
          tellsAllocation: how !== 'everything',
        }
        assert.ok((await upload(world, request)) >= 1)
        assert.match(world.warnings.join(), /P(ack|age)Missing|PageCorrupt/)
        assert.ok(await restores(world, `roots/${session}`, content), `without ${packs[which]}`)
        const root = await rootOf(store, `roots/${session}`)
        assert.is(root.source['mode'], { changes: 'Changed', allocated: 'Allocated', everything: 'Everything' }[how])
        // The backup after that starts from a whole one, and reports nothing.
        world.warnings.length = 0
        assert.is(
          await upload(world, { ...request, session: await world.newSession('s2'), parentRoot: `roots/${session}` }),
          1,
        )
        assert.equal(world.warnings, [])
      }
    })
  }
}

test('only what was lost is read from the disk again', async () => {
  const { store, world, content, parentRoot, packs } = await firstBackup()
  // A pack has eight chunks, or a few pages; all chunks of these pages are then checked.
  store.objects.delete(packs[0]!)
  const before = world.bytesRead
  const session = await world.newSession('s1')
  await upload(world, { content, session, snapshotId: 's1', parentRoot, changedAreas: [] })
  const read = world.bytesRead - before
  assert.ok(read > 0 && read < content.capacityBytes / 2, `${read} bytes`)
  const { healed } = await rootOf(store, `roots/${session}`)
  assert.ok((healed?.packs ?? 0) + (healed?.pages ?? 0) > 0, 'and the root says so')
})

test('a page of the parent that is corrupt is not taken over, though its content is the same', async () => {
  const { store, world, content, parentRoot } = await firstBackup()
  const { pages } = await rootOf(store, parentRoot)
  const { body } = store.objects.get(`packs/${pages.packOf(0)}`)!
  body[(pages.get(0)?.offset ?? 0) + 5]! ^= 1
  const session = await world.newSession('s1')
  await upload(world, { content, session, snapshotId: 's1', parentRoot, changedAreas: [] })
  assert.match(world.warnings.join(), /PageCorrupt/)
  assert.ok(await restores(world, `roots/${session}`, content))
})

test('all packs of the first backup lost: the next one is whole all the same', async () => {
  const { store, world, content, parentRoot, packs } = await firstBackup()
  for (const pack of packs) store.objects.delete(pack)
  const session = await world.newSession('s1')
  await upload(world, { content, session, snapshotId: 's1', parentRoot, changedAreas: [] })
  assert.ok(await restores(world, `roots/${session}`, content))
})

test('a pack that is lost while it replaces another one is replaced as well', async () => {
  const { store, world, content, parentRoot, packs } = await firstBackup()
  store.objects.delete(packs[0]!)
  const session = await world.newSession('s1')
  const request = { content, session, snapshotId: 's1', parentRoot, changedAreas: [] }
  assert.is((await world.uploadSlice(request)).state, 'more')
  store.objects.delete(packs[1]!)
  await upload(world, { ...request })
  assert.ok(await restores(world, `roots/${session}`, content))
})

/** Packs that the root or a page of its map names. */
async function packsNamedBy(store: MemoryObjectStore, key: string): Promise<Set<string>> {
  const blobs = new BlobReader(await requireRepository(store, access.password))
  const { pages } = await rootOf(store, key)
  const named = new Set(pages.packs)
  for (let page = 0; page < pages.length; page++) {
    const location = pages.get(page)
    if (location === undefined) continue
    for (const pack of LocationTable.decode(await blobs.read('page', location)).packs) named.add(pack)
  }
  return named
}

test('repair while a retire list exists: what was retired when the session began is not named afterwards either', async () => {
  const { store, world, content, parentRoot, packs } = await firstBackup()
  // The same content again, in packs of another backup: index runs are only hints and may be lost.
  for (const key of keysOf(store, 'index/')) store.objects.delete(key)
  await world.backup(content.snapshot(), 'other')
  const retired = keysOf(store, 'packs/').filter((key) => !packs.includes(key))
  assert.ok(retired.length > 0)
  const names = retired.map((key) => key.slice(packKey('').length))
  const { keys } = await requireRepository(store, access.password)
  await store.putIfAbsent(retireKey('1'), sealRetireList(keys, '1', names, 0))
  const session = await world.newSession('s1')
  const request = { content, session, snapshotId: 's1', parentRoot, changedAreas: [] }
  const { pages } = await rootOf(store, parentRoot)
  const ofChunks = packs.filter((key) => !pages.packs.includes(key.slice(packKey('').length)))
  store.objects.delete(ofChunks[0]!)
  assert.is((await world.uploadSlice(request)).state, 'more')
  await upload(world, request)
  const named = await packsNamedBy(store, `roots/${session}`)
  assert.equal(
    names.filter((pack) => named.has(pack)),
    [],
  )
  assert.ok(await restores(world, `roots/${session}`, content))
})

test('a process that dies at any write while it replaces a lost pack leaves a backup that is whole in the end', async () => {
  for (let n = 1; ; n++) {
    const { store, world, content, parentRoot, packs } = await firstBackup()
    store.objects.delete(packs[0]!)
    const session = await world.newSession('s1')
    const request = { content, session, snapshotId: 's1', parentRoot, changedAreas: [] }
    assert.is((await world.uploadSlice({ ...request, slice: 1 })).state, 'more')
    const dying = new HookedStore(store, dyingAt(n, n % 2 === 0 ? 'die before' : 'die after'))
    const died = await new EngineWorld(dying).uploadSlice({ ...request, slice: 2 }).then(
      () => false,
      () => true,
    )
    if (!died) return
    for (let slice = 3; (await world.uploadSlice({ ...request, slice })).state !== 'sealed'; slice++);
    assert.ok(await restores(world, `roots/${session}`, content), `died at write ${n}`)
    assert.ok(bytesOf(content).length > 0)
  }
})

test.run()
