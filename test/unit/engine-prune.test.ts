import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryDiskContent } from '#shared/adapters/memory/disk.ts'
import { MemoryObjectStore } from '#shared/adapters/memory/object-store.ts'
import { BlobReader } from '#shared/engine/blob-reader.ts'
import { type PruneOptions, pruneRepository, unreachableObjects } from '#shared/engine/prune.ts'
import { Reach } from '#shared/engine/reach.ts'
import { type Repository, requireRepository } from '#shared/engine/repository.ts'
import { listOf } from '#shared/format/index-run.ts'
import { type BlobLocation, LocationTable } from '#shared/format/location-table.ts'
import { sealDoomList, sealRetireList } from '#shared/format/markers.ts'
import { doomKey, indexKey, retireKey, sessionKey } from '#shared/format/names.ts'
import { openRoot } from '#shared/format/root.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import { DAY_MS, HOUR_MS } from '#shared/kernel/units.ts'
import type { PruneReport } from '#shared/ports/mover.ts'
import { access, bytesOf, CHUNK_BYTES, EngineWorld, FCD, type UploadOptions } from '#test/support/engine-world.ts'
import { dyingAt, HookedStore, type WriteHook } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: prune')

/** Two volumes' worth of backups: a first one, and one more after a part of the disk was written anew. */
async function twoBackups() {
  const times = { nowMs: 1_700_000_000_000 }
  const store = new MemoryObjectStore({ nowMs: () => times.nowMs })
  const world = await EngineWorld.create(store)
  const first = new MemoryDiskContent(120 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(first, [{ kind: 'write', sector: 0, sectors: 500, fill: 7 }])
  const firstRoot = await world.backup(first.snapshot(), 's0')
  const second = first.snapshot()
  const changedAreas = applyChanges(second, [{ kind: 'write', sector: 100, sectors: 200, fill: 9 }])
  const secondRoot = await world.backup(second, 's1', { parentRoot: firstRoot, changedAreas })
  const repository = await requireRepository(store, access.password)
  return { times, store, world, repository, first, firstRoot, second, secondRoot }
}

const prune = (repository: Repository, change: Partial<PruneOptions> = {}): Promise<PruneReport> =>
  pruneRepository(repository, { clock: systemClock, sliceMs: HOUR_MS, sessionIdleMs: DAY_MS, ...change })

async function restores(world: EngineWorld, root: string, content: MemoryDiskContent): Promise<boolean> {
  const target = new MemoryDiskContent(content.capacityBytes)
  await world.restoreSlice(target, root)
  return bytesOf(target).equals(bytesOf(content))
}

/** A slice that is stopped when its first pack is sent: it leaves packs and a checkpoint behind. */
async function pausedSlice(world: EngineWorld, options: UploadOptions): Promise<void> {
  const stop = new AbortController()
  if (options.changedAreas !== undefined) stop.abort()
  const hook: WriteHook = async ({ key }) => {
    if (key.startsWith('packs/')) stop.abort()
    return 'go on'
  }
  const outcome = await world
    .through(new HookedStore(world.store, hook))
    .uploadSlice({ ...options, signal: stop.signal })
  assert.is(outcome.state, 'more')
}

const keysOf = (store: MemoryObjectStore, prefix = '') =>
  [...store.objects.keys()].filter((key) => key.startsWith(prefix)).sort()

async function reasonOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    return error instanceof DormouseError ? error.reason : String(error)
  }
  return 'none'
}

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

test('packs that a running session may reuse wait for it, and are kept when it names them', async () => {
  const { store, world, repository, second, secondRoot } = await twoBackups()
  const session = await world.newSession('s2')
  const changedAreas = [{ offsetBytes: 0, lengthBytes: CHUNK_BYTES }]
  const request = { content: second, session, snapshotId: 's2', parentRoot: secondRoot, changedAreas }
  await pausedSlice(world, { ...request })
  for (const snapshot of ['s0', 's1']) await world.repositories.forget(access, FCD, snapshot)
  const packs = keysOf(store, 'packs/')
  const report = await prune(repository)
  assert.is(report.state, 'waiting')
  assert.equal(report.waitsFor, [session])
  assert.equal(keysOf(store, 'packs/'), packs)
  assert.equal((await world.uploadSlice({ ...request, slice: 2 })).state, 'sealed')
  assert.is((await prune(repository)).state, 'done')
  assert.ok(await restores(world, `roots/${session}`, second))
  assert.equal(await unreachableObjects(repository), [])
})

test('a session that begins after the list stands is not waited for', async () => {
  const { store, world, repository, second, secondRoot } = await twoBackups()
  const third = second.snapshot()
  applyChanges(third, [{ kind: 'write', sector: 0, sectors: 900, fill: 77 }])
  const old = await world.newSession('old')
  await pausedSlice(world, { content: third, session: old, snapshotId: 'old', parentRoot: secondRoot })
  await world.repositories.forget(access, FCD, 's0')
  assert.equal((await prune(repository)).waitsFor, [old])
  const [list] = keysOf(store, 'retire/')
  const young = await world.newSession('young')
  const request = { content: third, session: young, snapshotId: 'young', parentRoot: secondRoot }
  await pausedSlice(world, { ...request })
  await world.repositories.abandon(access, old)
  const report = await prune(repository)
  assert.ok((report.removed['packs']?.objects ?? 0) > 0)
  assert.not.ok(keysOf(store, 'retire/').includes(list!))
  assert.equal(report.waitsFor, [young], 'by the next list, which has the packs of the one that was given up')
  await world.uploadSlice({ ...request, slice: 2 })
  assert.ok(await restores(world, `roots/${young}`, third))
})

/** The same repository, but one of its LISTs finds nothing. */
function blindTo(store: MemoryObjectStore, prefix: string): HookedStore {
  const blind = new HookedStore(store, async () => 'go on')
  const list = blind.list.bind(blind)
  blind.list = (wanted) => list(wanted === prefix ? 'nothing/' : wanted)
  return blind
}

for (const lacks of ['nothing', 'the wait for sessions', 'the second look'] as const) {
  test(`a collector that lacks ${lacks} ${lacks === 'nothing' ? 'keeps' : 'loses'} what a session is about to name`, async () => {
    const { store, world, repository, first, firstRoot } = await twoBackups()
    const changedAreas = [{ offsetBytes: 0, lengthBytes: CHUNK_BYTES }]
    const session = await world.newSession('s2')
    const request = { content: first, session, snapshotId: 's2', parentRoot: firstRoot, changedAreas }
    await pausedSlice(world, request)
    for (const snapshot of ['s0', 's1']) await world.repositories.forget(access, FCD, snapshot)
    const collector =
      lacks === 'the wait for sessions' ? { ...repository, store: blindTo(store, 'session/') } : repository
    await prune(collector)
    assert.equal((await world.uploadSlice({ ...request, slice: 2 })).state, 'sealed')
    const { look } = Reach.prototype
    if (lacks === 'the second look') {
      // It learns who has ended, and takes no names in.
      Reach.prototype.look = async function (this: Reach) {
        await look.call(this, { has: () => true })
        this.packs.clear()
      }
    }
    // Where it is too late already, the next run notices.
    const again = reasonOf(prune(collector)).finally(() => {
      Reach.prototype.look = look
    })
    assert.is(await again, lacks === 'the wait for sessions' ? 'PageMissing' : 'none')
    const restored = restores(world, `roots/${session}`, first)
    if (lacks === 'nothing') assert.ok(await restored)
    else assert.match(await reasonOf(restored), /^(Page|Chunk)Missing$/)
  })
}

/** Without the list a session would name what its parent names, and the parent is forgotten before the collector looks. */
for (const heeds of [true, false]) {
  const what = heeds ? 'takes nothing from it' : 'would lose data if it did not heed it'
  test(`a session that begins while a retire list stands ${what}`, async () => {
    const { store, world, repository, first, firstRoot } = await twoBackups()
    const changedAreas = [{ offsetBytes: 0, lengthBytes: CHUNK_BYTES }]
    const early = await world.newSession('early')
    const request = { content: first, session: early, snapshotId: 'early', parentRoot: firstRoot, changedAreas }
    await pausedSlice(world, request)
    for (const snapshot of ['s0', 's1']) await world.repositories.forget(access, FCD, snapshot)
    assert.equal((await prune(repository)).waitsFor, [early])
    await world.uploadSlice({ ...request, slice: 2 })
    const late = await world.newSession('late')
    const seen = heeds ? store : blindTo(store, 'retire/')
    const lateRequest = { ...request, session: late, snapshotId: 'late', parentRoot: `roots/${early}` }
    await pausedSlice(world.through(seen), lateRequest)
    await world.repositories.forget(access, FCD, 'early')
    assert.ok(((await prune(repository)).removed['packs']?.objects ?? 0) > 0)
    assert.equal((await world.uploadSlice({ ...lateRequest, slice: 2 })).state, 'sealed')
    const restored = restores(world, `roots/${late}`, first)
    if (heeds) assert.ok(await restored)
    else assert.match(await reasonOf(restored), /^(Page|Chunk)Missing$/)
  })
}

test('an idle session is given up by the times of the store, whatever the own clock says', async () => {
  const { times, store, world, repository, second } = await twoBackups()
  const session = await world.newSession('s2')
  const request = { content: second, session, snapshotId: 's2' }
  times.nowMs += HOUR_MS
  await pausedSlice(world, { ...request })
  const clock = { ...systemClock, nowMs: () => times.nowMs + 400 * DAY_MS }
  times.nowMs += DAY_MS
  assert.equal((await prune(repository, { clock })).fenced, [], 'a day is not more than a day')
  times.nowMs += 1
  assert.equal((await prune(repository, { clock })).fenced, [session])
  assert.is(await reasonOf(world.uploadSlice({ ...request, slice: 2 })), 'SessionFenced')
  assert.equal(await unreachableObjects(repository), [])
  assert.equal(keysOf(store, `session/${session}`), [])
})

test('a pack or a checkpoint of late shows that a session is alive', async () => {
  for (const late of ['packs', 'checkpoint'] as const) {
    const { times, store, world, repository } = await twoBackups()
    const session = await world.newSession('s2')
    await store.putIfAbsent(sessionKey(session), Buffer.from('marker'))
    times.nowMs += 2 * DAY_MS
    const name = late === 'packs' ? '00000000000000ff' : '00000001-0001'
    await store.putIfAbsent(`${late}/${session}/${name}`, Buffer.from('x'))
    assert.equal((await prune(repository)).fenced, [], late)
  }
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

test('an index run is no more than a hint: what it names must be listed, and its backup must stand', async () => {
  for (const harm of ['pack gone', 'session given up'] as const) {
    const { store, world, repository, first, firstRoot, second } = await twoBackups()
    const session = firstRoot.slice('roots/'.length)
    const run = store.objects.get(indexKey(session))!
    await world.repositories.forget(access, FCD, 's0')
    await world.repositories.forget(access, FCD, 's1')
    await prune(repository)
    assert.equal(keysOf(store, 'packs/'), [])
    // A holder that was thought dead writes its run only now.
    store.objects.set(indexKey(session), run)
    if (harm === 'pack gone') store.objects.set(firstRoot, (await twoBackups()).store.objects.get(firstRoot)!)
    const root = await world.backup(first, 's2', { session: await world.newSession('s2') })
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
