import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DAY_MS, HOUR_MS } from '#shared/kernel/units.ts'
import { BlobReader } from '#shared/repository/core/blob-reader.ts'
import type { Repository } from '#shared/repository/core/repository.ts'
import { listOf } from '#shared/repository/format/index-run.ts'
import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import { sealDoomList, sealRetireList } from '#shared/repository/format/markers.ts'
import { doomKey, indexKey, retireKey } from '#shared/repository/format/names.ts'
import { openRoot } from '#shared/repository/format/root.ts'
import { unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { access, FCD } from '#test/support/engine-world.ts'
import { keysOf, pausedSlice, prune, restores, twoBackups } from '#test/support/prune-world.ts'
import { reasonOf } from '#test/support/reason.ts'
import { dyingAt, HookedStore } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: prune')

test('a repository whose backups all stand loses nothing', async () => {
  const { store, repository } = await twoBackups()
  const before = keysOf(store)
  const report = await prune(repository)
  assert.equal(report.removed, {})
  assert.is(report.state, 'done')
  assert.equal(keysOf(store), before)
})

test('the space of a forgotten backup comes back, and the other restores byte-equal', async () => {
  for (const [forgotten, stays] of [
    ['s0', 's1'],
    ['s1', 's0'],
  ] as const) {
    const { store, world, repository, first, firstRoot, second, secondRoot } = await twoBackups()
    const before = keysOf(store, 'packs/').length
    await world.repositories.forget(access, FCD, forgotten)
    assert.not.equal(await unreachableObjects(repository), [])
    const report = await prune(repository)
    assert.is(report.state, 'done')
    assert.is(report.removed['packs']?.objects, before - keysOf(store, 'packs/').length)
    assert.ok((report.removed['packs']?.bytes ?? 0) > 0)
    assert.equal(await unreachableObjects(repository), [])
    assert.ok(stays === 's1' ? await restores(world, secondRoot, second) : await restores(world, firstRoot, first))
    assert.equal(keysOf(store, 'retire/'), [])
  }
})

test('a cancelled upload leaves its tombstone and nothing else', async () => {
  const { store, world, repository, second, secondRoot } = await twoBackups()
  const before = keysOf(store)
  const content = second.snapshot()
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 600, fill: 77 }])
  const session = await world.newSession('s2')
  await pausedSlice(world, { content, session, snapshotId: 's2' })
  assert.ok(keysOf(store, `checkpoint/${session}`).length > 0)
  await world.repositories.abandon(access, session)
  await prune(repository)
  assert.equal(keysOf(store), [...before, `roots/${session}`].sort())
  assert.ok(await restores(world, secondRoot, second))
})

test('what a paused session left behind after another run sealed it goes', async () => {
  const { store, world, repository, secondRoot } = await twoBackups()
  const session = secondRoot.slice('roots/'.length)
  const late = await world.newSession('other')
  await store.putIfAbsent(`checkpoint/${session}/00000009-0001`, Buffer.from('late'))
  await store.putIfAbsent(`packs/${session}/00000000000000ff`, Buffer.from('late'))
  await store.putIfAbsent(`packs/${late}/00000000000000ff`, Buffer.from('of a session that has not ended'))
  await prune(repository)
  assert.equal(keysOf(store, `checkpoint/${session}`), [])
  assert.is(store.objects.has(`packs/${session}/00000000000000ff`), false)
  assert.is(store.objects.has(`packs/${late}/00000000000000ff`), true)
})

for (const harm of [
  'a root',
  'a root that says it is a tombstone',
  'a page',
  'a missing page',
  'a missing pack',
  'a stranger among the roots',
] as const) {
  test(`${harm}, damaged, ends the run before anything is deleted`, async () => {
    const { store, world, repository, secondRoot } = await twoBackups()
    await world.repositories.forget(access, FCD, 's0')
    const bytes = store.objects.get(secondRoot)!.body
    const { pages } = openRoot(repository.keys, secondRoot.slice(6), bytes, '')
    const [page] = listOf(pages)
    const pack = `packs/${page!.pack}`
    if (harm === 'a root') bytes[200]! ^= 1
    if (harm === 'a root that says it is a tombstone') bytes[8] = 0x42
    if (harm === 'a page') store.objects.get(pack)!.body[page!.offset + 1]! ^= 1
    if (harm === 'a missing page') store.objects.delete(pack)
    if (harm === 'a missing pack') store.objects.delete(await dataPackOf(repository, page!))
    if (harm === 'a stranger among the roots') await store.putIfAbsent('roots/copy-of-a-root', Buffer.from('?'))
    const before = keysOf(store)
    const wanted = { 'a page': 'PageCorrupt', 'a missing page': 'PageMissing', 'a missing pack': 'PackMissing' }
    assert.is(await reasonOf(prune(repository)), (wanted as Record<string, string>)[harm] ?? 'RootCorrupt')
    assert.equal(keysOf(store), before)
  })
}

/** A pack of chunks that the page names. */
async function dataPackOf(repository: Repository, page: BlobLocation): Promise<string> {
  const { packs } = LocationTable.decode(await new BlobReader(repository).read('page', page))
  return `packs/${packs.find((name) => name !== page.pack)}`
}

test('without conditional PUT it refuses, and says how to go on; in exclusive mode it works', async () => {
  const { store, world, repository, second } = await twoBackups()
  await world.repositories.forget(access, FCD, 's0')
  const put = store.putIfAbsent.bind(store)
  store.putIfAbsent = async (key, body) => {
    if (key.startsWith('probe/')) store.objects.delete(key)
    return await put(key, body)
  }
  const before = keysOf(store)
  assert.is(await reasonOf(prune(repository)), 'NoConditionalPut')
  assert.equal(keysOf(store), before)
  const session = await world.newSession('s2')
  await pausedSlice(world, { content: second, session, snapshotId: 's2' })
  const report = await prune(repository, { exclusive: true })
  assert.equal(report.fenced, [session])
  assert.equal(await unreachableObjects(repository), [])
})

test('a dry run names what would go, and writes nothing', async () => {
  const { store, world, repository } = await twoBackups()
  await world.repositories.forget(access, FCD, 's0')
  const before = keysOf(store)
  const writes: string[] = []
  const watching = new HookedStore(store, async ({ key }) => {
    writes.push(key)
    return 'go on'
  })
  const keys: string[] = []
  const report = await prune({ ...repository, store: watching }, { dryRun: true, onKey: (key) => keys.push(key) })
  assert.equal(writes, [])
  assert.equal(keysOf(store), before)
  assert.equal(keys.sort(), (await unreachableObjects(repository)).sort())
  assert.equal(report.removed, (await prune(repository)).removed)
})

test('a run that dies at any write is finished by the next one', async () => {
  for (const when of ['die before', 'die after'] as const) {
    let runs = 0
    for (let n = 1, died = true; died; n++, runs++) {
      const { store, world, repository, second, secondRoot } = await twoBackups()
      await world.repositories.forget(access, FCD, 's0')
      const dying = new HookedStore(store, dyingAt(n, when))
      died = (await reasonOf(prune({ ...repository, store: dying }))) !== 'none'
      const other = await world.newSession('s2')
      await world.backup(second, 's2', { session: other, parentRoot: secondRoot })
      await prune(repository)
      assert.equal(
        (await unreachableObjects(repository)).filter((key) => !key.startsWith('probe/')),
        [],
        `${when} write ${n}`,
      )
      assert.ok(await restores(world, secondRoot, second), `${when} write ${n}`)
      assert.ok(await restores(world, `roots/${other}`, second), `${when} write ${n}`)
    }
    assert.ok(runs >= 15, `${runs} writes`)
  }
})

test('what lies among the packs and is not named like one is left alone', async () => {
  const { store, world, repository, firstRoot } = await twoBackups()
  const stranger = `packs/${firstRoot.slice('roots/'.length)}/copy-of-a-pack`
  await store.putIfAbsent(stranger, Buffer.from('?'))
  await world.repositories.forget(access, FCD, 's0')
  assert.is((await prune(repository)).state, 'done')
  assert.ok(store.objects.has(stranger))
})

test('old probes and lists without their retire list go, young probes stay', async () => {
  const { times, store, repository } = await twoBackups()
  await store.putIfAbsent('probe/0000000000000001', Buffer.from('old'))
  await store.putIfAbsent('waits/1', Buffer.from('stray'))
  await store.putIfAbsent('doom/1', Buffer.from('stray'))
  times.nowMs += HOUR_MS
  await store.putIfAbsent('probe/0000000000000002', Buffer.from('young'))
  times.nowMs += 1
  await prune(repository)
  assert.equal(
    keysOf(store).filter((key) => /^(probe|waits|doom)/.test(key)),
    ['probe/0000000000000002'],
  )
})

test('a slice without time deletes nothing and says that there is more', async () => {
  const { store, world, repository } = await twoBackups()
  await world.repositories.forget(access, FCD, 's0')
  const packs = keysOf(store, 'packs/')
  assert.is((await prune(repository, { sliceMs: 0 })).state, 'more')
  assert.equal(keysOf(store, 'packs/'), packs)
  assert.is((await prune(repository)).state, 'done')
})

test('a pack that a backup names is not deleted, whatever a list says', async () => {
  const { store, repository, secondRoot } = await twoBackups()
  const packs = keysOf(store, `packs/${secondRoot.slice(6)}/`).map((key) => key.slice('packs/'.length))
  await store.putIfAbsent(retireKey('1'), sealRetireList(repository.keys, '1', packs, 0))
  await store.putIfAbsent(doomKey('1'), sealDoomList(repository.keys, '1', packs, 0))
  const before = keysOf(store)
  assert.is(await reasonOf(prune(repository)), 'PruneUnsafe')
  assert.equal(keysOf(store), before)
})

test('a damaged list of a collection ends the run', async () => {
  const { store, repository } = await twoBackups()
  await store.putIfAbsent(retireKey('1'), Buffer.from('no list'))
  assert.is(await reasonOf(prune(repository)), 'RetireListCorrupt')
})

test('an index run is only a hint: the packs that it names must be listed, and its backup must exist', async () => {
  for (const harm of ['pack gone', 'session given up'] as const) {
    const { store, world, repository, first, firstRoot, second } = await twoBackups()
    const session = firstRoot.slice('roots/'.length)
    const run = store.objects.get(indexKey(session))!
    const [standing, packs] = [store.objects.get(firstRoot)!, [...store.objects].filter(([key]) => /^packs/.test(key))]
    await world.repositories.forget(access, FCD, 's0')
    await world.repositories.forget(access, FCD, 's1')
    await prune(repository)
    assert.equal(keysOf(store, 'packs/'), [])
    // A holder that was thought dead writes its index run only now.
    store.objects.set(indexKey(session), run)
    if (harm === 'pack gone') store.objects.set(firstRoot, standing)
    // Or a PUT of that holder that was delayed brings its packs back, and a late collector deletes them once more.
    if (harm === 'session given up') for (const [key, entry] of packs) store.objects.set(key, entry)
    const root = await world.backup(first, 's2', { session: await world.newSession('s2') })
    for (const [key] of packs) store.objects.delete(key)
    assert.ok(await restores(world, root, first), harm)
    assert.ok(second.capacityBytes > 0)
  }
})

test('an index run whose segments lie in packs keeps them while its backup stands', async () => {
  const { store, world, repository } = await twoBackups()
  const before = keysOf(store, 'index/')
  await world.repositories.forget(access, FCD, 's0')
  await prune(repository)
  assert.is(keysOf(store, 'index/').length, before.length - 1)
})

test('uploads that other programs left unfinished go after a week', async () => {
  const { times, store, repository } = await twoBackups()
  const old = { key: 'packs/x', id: '1', startedMs: times.nowMs - 7 * DAY_MS }
  const young = { key: 'packs/y', id: '2', startedMs: times.nowMs - 7 * DAY_MS + 1 }
  store.incomplete.push(old, young)
  const report = await prune(repository)
  assert.equal(store.incomplete, [young])
  assert.is(report.removed['incomplete']?.objects, 1)
})

test.run()
