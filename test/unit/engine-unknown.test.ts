// Kinds, versions and features of a newer version that this one does not know.

import { createHash } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { openRepository, type Repository, requireRepository } from '#shared/repository/core/repository.ts'
import { listOf } from '#shared/repository/format/index-run.ts'
import { reachKey } from '#shared/repository/format/names.ts'
import { PageNotes, RootNotes } from '#shared/repository/format/reach-notes.ts'
import { encodeConfig } from '#shared/repository/format/repository-config.ts'
import { openRoot, type Root, sealRoot } from '#shared/repository/format/root.ts'
import { pruneRepository, unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, CHUNK_BYTES, EngineWorld, FCD } from '#test/support/engine-world.ts'
import { keysOf, prune, restores } from '#test/support/prune-world.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: what a newer version wrote')

/** Two backups of one volume; the second is sealed again with `change` applied. */
async function newerRoot(change: object) {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(40 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 300, fill: 7 }])
  const first = await world.backup(content.snapshot(), 's1', { session: await world.newSession('s1', '1', 1) })
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 100, fill: 9 }])
  const newer = await world.backup(content, 's2', { session: await world.newSession('s2', '1', 2) })
  const repository = await requireRepository(store, access.password)
  reseal(store, repository, newer, (root) => ({ ...root, ...change }) as Root)
  return { store, world, content, repository, first, newer }
}

function reseal(store: MemoryObjectStore, { keys }: Repository, key: string, change: (root: Root) => Root): void {
  const session = key.slice('roots/'.length)
  const { body, modifiedMs } = store.objects.get(key)!
  const sealed = sealRoot(keys, session, change(openRoot(keys, session, body, key)))
  store.objects.set(key, { body: sealed, modifiedMs })
}

async function refusal(work: Promise<unknown>): Promise<TerminalError> {
  const error: unknown = await work.then(
    () => 'not refused',
    (thrown: unknown) => thrown,
  )
  assert.instance(error, TerminalError, String(error))
  return error as TerminalError
}

const TREE = { source: { kind: 'tree', entries: 3 } }
const UNKNOWN: [string, object, RegExp][] = [
  ['a kind of source', TREE, /kind tree.*newer/],
  ['a version', { version: 2 }, /version 2.*newer/],
  ['a required feature', { requiredFeatures: ['erasure-codes'] }, /feature erasure-codes.*newer/],
]

for (const [what, change, words] of UNKNOWN) {
  test(`${what} that is not known is refused by name when it is restored or asked for`, async () => {
    const { world, newer } = await newerRoot(change)
    const target = new MemoryDiskContent(40 * CHUNK_BYTES)
    for (const work of [world.restoreSlice(target, newer), world.repositories.find(access, FCD, 's2')]) {
      const error = await refusal(work)
      assert.is(error.reason, 'RepositoryVersionUnknown')
      assert.match(error.message, words)
      assert.ok(error.message.includes(newer))
    }
  })

  test(`${what} that is not known hides no other backup, and the next one begins without it`, async () => {
    const { world, content, first, newer } = await newerRoot(change)
    const found = await world.repositories.backupsOf(access, FCD)
    assert.equal(
      found.map(({ root }) => root),
      [first],
    )
    assert.equal(world.warnings, ['RepositoryVersionUnknown'])
    const root = await world.backup(content, 's3', { parentRoot: newer, changedAreas: [] })
    assert.equal(world.warnings, ['RepositoryVersionUnknown', 'RepositoryVersionUnknown'])
    assert.ok(await restores(world, root, content))
  })
}

test('the owner of a backup of an unknown kind is known, and it is deleted like any other', async () => {
  const { store, world, repository, first, content } = await newerRoot(TREE)
  const [found] = await world.repositories.rootsOf(access, FCD, 's2')
  assert.is(found?.about?.claim, 'ns/pvc')
  assert.is(await world.repositories.forget(access, FCD, 's2'), true)
  await prune(repository)
  assert.equal(await unreachableObjects(repository), [])
  assert.is(keysOf(store, 'roots/').length, 2)
  applyChanges(content, [])
  assert.is((await world.restoreSlice(new MemoryDiskContent(40 * CHUNK_BYTES), first)).state, 'done')
})

test('prune keeps everything that a root of an unknown kind reaches', async () => {
  const { store, world, content, repository, newer } = await newerRoot(TREE)
  const before = keysOf(store, `packs/${newer.slice('roots/'.length)}/`)
  assert.ok(before.length >= 3)
  await world.repositories.forget(access, FCD, 's1')
  const { removed } = await prune(repository)
  assert.ok((removed['packs']?.objects ?? 0) > 0, 'it did work')
  assert.equal(keysOf(store, `packs/${newer.slice('roots/'.length)}/`), before)
  const block = { kind: 'block', diskId: FCD, snapshotId: 's2', capacityBytes: content.capacityBytes }
  const cut = { chunkBytes: CHUNK_BYTES, pageChunks: 16, mode: 'Allocated' }
  reseal(store, repository, newer, (root) => ({ ...root, source: { ...block, ...cut } }))
  assert.ok(await restores(world, newer, content))
})

for (const [what, change] of UNKNOWN.slice(1)) {
  test(`prune deletes nothing while a root has ${what} that is not known, because what it reaches is unknown`, async () => {
    const { store, world, repository } = await newerRoot(change)
    await world.repositories.forget(access, FCD, 's1')
    const before = keysOf(store, 'packs/')
    const options = { clock: systemClock, sliceMs: 60_000, sessionIdleMs: 0 }
    assert.is((await refusal(pruneRepository(repository, options))).reason, 'RepositoryVersionUnknown')
    assert.equal(keysOf(store, 'packs/'), before)
  })
}

for (const [what, needs, change] of [
  ['a version', { version: 2, requiredFeatures: [] }, { version: 2 }],
  ['a required feature', { version: 1, requiredFeatures: ['erasure-codes'] }, { requiredFeatures: ['erasure-codes'] }],
] as const) {
  test(`prune does not rely on a newer version's note about a root of ${what} that is not known`, async () => {
    const { store, world, repository, newer } = await newerRoot({})
    const session = newer.slice('roots/'.length)
    const { pages } = openRoot(repository.keys, session, store.objects.get(newer)!.body, newer)
    reseal(store, repository, newer, (root) => ({ ...root, ...change }) as Root)
    const { body, modifiedMs } = store.objects.get(newer)!
    const ids = listOf(pages).map(({ id }) => id)
    const [rootNotes, pageNotes] = [new RootNotes(), new PageNotes()]
    const digest = createHash('sha256').update(body).digest('hex')
    const seen = { session, digest, bytes: body.length, modifiedMs }
    rootNotes.add({ ...seen, needs, packs: pages.packs, pages: Buffer.concat(ids) })
    for (const id of ids) pageNotes.add(id, pages.packs)
    const name = '0123456789abcdef'
    store.objects.set(reachKey('roots', name), { body: rootNotes.seal(repository.keys, name), modifiedMs })
    store.objects.set(reachKey('pages', name), { body: pageNotes.seal(repository.keys, name), modifiedMs })
    await world.repositories.forget(access, FCD, 's1')
    const before = keysOf(store, 'packs/')
    assert.is((await refusal(prune(repository))).reason, 'RepositoryVersionUnknown')
    assert.equal(keysOf(store, 'packs/'), before)
    assert.ok(store.objects.has(reachKey('roots', name)), 'the newer version can still use it')
  })
}

test('an optional feature that is not known is passed over, in the config and in a root', async () => {
  const { store, world, content, repository, newer } = await newerRoot({ optionalFeatures: ['thumbnails'] })
  const config = { ...repository.config, optionalFeatures: ['colours'] }
  store.objects.set('config', { body: encodeConfig(repository.keys, config), modifiedMs: 0 })
  assert.ok(await restores(world, newer, content))
  assert.equal(world.warnings, [])
})

test('a required feature in the config that is not known stops every way in', async () => {
  const { store, world, repository, newer } = await newerRoot({})
  const config = { ...repository.config, requiredFeatures: ['erasure-codes'] }
  store.objects.set('config', { body: encodeConfig(repository.keys, config), modifiedMs: 0 })
  const { repositories } = world
  for (const work of [
    openRepository(store, access.password),
    openRepository(store, 'a wrong password'),
    repositories.ensure(access, undefined),
    repositories.inspect(access),
    repositories.backupsOf(access, FCD),
    world.restoreSlice(new MemoryDiskContent(40 * CHUNK_BYTES), newer),
  ]) {
    const error = await refusal(work)
    assert.is(error.reason, 'RepositoryVersionUnknown')
    assert.match(error.message, /feature erasure-codes/)
  }
})

test('malformed lists of features are refused, and a feature cannot be added or removed without the key', async () => {
  const { store, repository } = await newerRoot({})
  const text = encodeConfig(repository.keys, repository.config).toString('utf8')
  const withList = (list: unknown) =>
    text.replace('"optionalFeatures": []', `"optionalFeatures": ${JSON.stringify(list)}`)
  const seventeen = Array.from({ length: 17 }, (_, n) => `f${n}`)
  for (const list of [seventeen, ['Large'], ['x'.repeat(33)], [''], [1], 'none', null, ['planted']]) {
    store.objects.set('config', { body: Buffer.from(withList(list)), modifiedMs: 0 })
    assert.is((await refusal(openRepository(store, access.password))).reason, 'RepositoryConfigCorrupt', `${list}`)
  }
  const required = encodeConfig(repository.keys, { ...repository.config, optionalFeatures: ['a', 'b'] })
  for (const list of ['["a"]', '["b","a"]', '[]']) {
    const body = Buffer.from(
      required.toString('utf8').replace(/"optionalFeatures": \[[^\]]*\]/, `"optionalFeatures": ${list}`),
    )
    store.objects.set('config', { body, modifiedMs: 0 })
    assert.is((await refusal(openRepository(store, access.password))).reason, 'RepositoryConfigCorrupt', list)
  }
})

test.run()
