// Velero's time limit ended a backup: the volume's next backup reads and hashes the same data, and does not send what the first has stored.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DAY_MS } from '#shared/kernel/units.ts'
import { openCheckpoint } from '#shared/repository/format/checkpoint.ts'
import { sealRetireList } from '#shared/repository/format/markers.ts'
import { checkpointKey, retireKey, rootKey } from '#shared/repository/format/names.ts'
import { unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { access, FCD, pointOf } from '#test/support/engine-world.ts'
import { ALL, aVolume, CHUNKS_PER_PACK, PACKS, PER_NIGHT, SECTORS_PER_CHUNK, whole } from '#test/support/nights.ts'
import { keysOf, prune, restores } from '#test/support/prune-world.ts'
import { reasonOf } from '#test/support/reason.ts'
import { HookedStore, type WriteHook } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: a backup goes on where one ended')

test('what an abandoned backup has stored the next one does not send again', async () => {
  const { world, content, night } = await aVolume()
  const first = await night(63)
  assert.is(first.state, 'more')
  const second = await night(ALL)
  assert.is(second.state, 'sealed')
  assert.ok(second.packs <= (await whole) - 63 + PER_NIGHT, `${first.packs} packs stood, and ${second.packs} were sent`)
  assert.ok(await restores(world, rootKey(second.session), content))
})

test('a volume that needs three nights has them, with a prune each day, and nothing is left of the nights that ended', async () => {
  const { world, repository, content, night } = await aVolume()
  const third = Math.ceil((await whole) / 3)
  const nights = []
  for (const most of [third, third, ALL]) {
    nights.push(await night(most))
    assert.equal((await prune(repository)).waitsFor, [])
  }
  assert.equal(
    nights.map(({ state }) => state),
    ['more', 'more', 'sealed'],
  )
  const sent = nights.reduce((sum, { packs }) => sum + packs, 0)
  assert.ok(sent <= (await whole) + 2 * PER_NIGHT, `${sent} packs of ${await whole}`)
  assert.ok(await restores(world, rootKey(nights[2]!.session), content))
  assert.equal(await unreachableObjects(repository), [])
})

test('the content of the disk decides, not what an earlier night has found there', async () => {
  const { world, content, night } = await aVolume()
  await night(63)
  applyChanges(content, [
    { kind: 'write', sector: 0, sectors: 40 * SECTORS_PER_CHUNK, fill: 9 },
    { kind: 'write', sector: 500 * SECTORS_PER_CHUNK, sectors: 3, fill: 10 },
  ])
  const second = await night(ALL)
  assert.ok(second.packs < (await whole) - 40)
  assert.ok(await restores(world, rootKey(second.session), content))
})

test('a backup of changes goes on as well, and looks at what changed since its own parent', async () => {
  const { world, content, night } = await aVolume()
  const parentRoot = rootKey((await night(ALL)).session)
  const change = (sector: number, sectors: number, fill: number) =>
    applyChanges(content, [
      { kind: 'write', sector: sector * SECTORS_PER_CHUNK, sectors: sectors * SECTORS_PER_CHUNK, fill },
    ])
  const changedAreas = change(100, 600, 11)
  const first = await night(40, { parentRoot, changedAreas })
  assert.is(first.state, 'more')
  changedAreas.push(...change(300, 10, 12))
  const second = await night(ALL, { parentRoot, changedAreas })
  assert.is(second.state, 'sealed')
  assert.ok(second.packs <= 600 / CHUNKS_PER_PACK - 40 + PER_NIGHT + 2, `${second.packs} packs`)
  assert.ok(await restores(world, rootKey(second.session), content))
})

test('what a running backup of the same volume has stored is not sent by another one', async () => {
  const { world, content, begin, stoppedAfter, night } = await aVolume()
  const running = await begin()
  const request = { content, workers: 1, ...running }
  assert.is((await stoppedAfter(50, request)).state, 'more')
  const second = await night(ALL)
  assert.ok(second.packs <= (await whole) - 50 + PER_NIGHT)
  await world.repositories.abandon(access, running.session)
  assert.ok(await restores(world, rootKey(second.session), content))
})

test('a chunk that an earlier night has stored is not sent for another place of the volume', async () => {
  const twice = async () => {
    const made = await aVolume()
    const half = (PACKS * CHUNKS_PER_PACK * SECTORS_PER_CHUNK) / 2
    for (const sector of [0, half]) applyChanges(made.content, [{ kind: 'write', sector, sectors: half, fill: 20 }])
    return made
  }
  const { world, content, night } = await twice()
  await night(30)
  const second = await night(ALL)
  assert.ok(second.packs <= (await (await twice()).night(ALL)).packs - 30 + PER_NIGHT, `${second.packs} packs`)
  assert.ok(await restores(world, rootKey(second.session), content))
})

test('packs that prune has deleted meanwhile are sent again, and no damage is reported', async () => {
  const { world, repository, content, night } = await aVolume()
  await night(63)
  const report = await prune(repository, { givenUpLivesMs: 0 })
  assert.ok((report.removed['packs']?.objects ?? 0) > 60)
  const second = await night(ALL)
  assert.is(second.packs, await whole)
  assert.ok(await restores(world, rootKey(second.session), content))
  assert.equal(world.messages, [])
})

test('of packs that are gone or on their way out only those are sent again', async () => {
  const { store, world, repository, content, night } = await aVolume()
  const first = await night(63)
  const packs = keysOf(store, `packs/${first.session}/`)
  const gone = packs.slice(0, 10)
  for (const key of gone) store.objects.delete(key)
  const retired = packs.slice(10, 20).map((key) => key.slice('packs/'.length))
  await store.putIfAbsent(retireKey('1'), sealRetireList(repository.keys, '1', retired, 0))
  const second = await night(ALL)
  assert.ok(second.packs > (await whole) - 63 + 15 && second.packs < (await whole) - 25, `${second.packs} packs`)
  for (const pack of retired) store.objects.delete(`packs/${pack}`)
  assert.ok(await restores(world, rootKey(second.session), content))
  assert.equal(
    world.messages.filter((message) => /earlier backups/.test(message)),
    [],
  )
})

test('a session that is given up twice is continued from the checkpoint that was named the first time', async () => {
  const { store, world, begin, stoppedAfter, content, night } = await aVolume()
  const { session, snapshotId } = await begin()
  assert.is((await stoppedAfter(30, { content, workers: 1, session, snapshotId })).state, 'more')
  const [said] = keysOf(store, `checkpoint/${session}/`)
  const dies: WriteHook = async ({ key }) => (key.startsWith('roots/') ? 'die after' : 'go on')
  const dying = world.through(new HookedStore(store, dies)).repositories.abandon(access, session)
  assert.is(await reasonOf(dying), 'StoreGone')
  // A process that was thought dead writes one more checkpoint.
  store.objects.set(checkpointKey(session, 9, 1), { body: Buffer.from('late'), modifiedMs: 0 })
  await world.repositories.abandon(access, session)
  assert.equal(keysOf(store, 'checkpoint/'), [said])
  assert.ok((await night(ALL)).packs <= (await whole) - 30 + PER_NIGHT)
})

test('what a session writes after it was given up is ignored', async () => {
  const { store, world, content, begin, night } = await aVolume()
  const late = await begin()
  const stop = new AbortController()
  let sent = 0
  const hook: WriteHook = async ({ key }) => {
    if (key.startsWith('packs/') && ++sent === 30) {
      await world.repositories.abandon(access, late.session)
      stop.abort()
    }
    return 'go on'
  }
  const request = { content, workers: 1, ...late, signal: stop.signal }
  await world.through(new HookedStore(store, hook)).uploadSlice(request)
  assert.is(keysOf(store, `checkpoint/${late.session}/`).length, 1)
  assert.is((await night(ALL)).packs, await whole)
})

test('nothing is taken over from a session that may have been sealed, even without a root: it may be about to be deleted', async () => {
  for (const isGivenUp of [false, true]) {
    const { store, world, content, begin, stoppedAfter, night } = await aVolume()
    const half = await begin()
    const request = { content, workers: 1, ...half }
    await stoppedAfter(63, request)
    const dies: WriteHook = async ({ key }) => (key.startsWith('roots/') ? 'die before' : 'go on')
    const dying = world.through(new HookedStore(store, dies)).uploadSlice({ ...request, slice: 2 })
    assert.is(await reasonOf(dying), 'StoreGone')
    assert.is(keysOf(store, `index/${half.session}`).length, 1)
    if (isGivenUp) await world.repositories.abandon(access, half.session)
    assert.is(keysOf(store, `checkpoint/${half.session}/`).length, isGivenUp ? 0 : 1)
    assert.is((await night(ALL)).packs, await whole)
  }
})

test('a checkpoint under another name, or of another volume, is not continued from', async () => {
  const { store, world, content, begin, stoppedAfter, night } = await aVolume()
  const other = await world.repositories.newSessionId(access, pointOf('x', 'fcd-2'), '1')
  assert.is((await stoppedAfter(63, { content, workers: 1, session: other, snapshotId: 'x' })).state, 'more')
  const [key] = keysOf(store, `checkpoint/${other}/`)
  const planted = await begin()
  const at = checkpointKey(planted.session, 1, 1)
  store.objects.set(at, store.objects.get(key!)!)
  const second = await night(ALL)
  assert.is(second.packs, await whole)
  assert.equal(world.warnings, ['CheckpointCorrupt'])
})

test('a deleted backup that had not ended leaves nothing for the next one', async () => {
  const { store, world, repository, night } = await aVolume()
  const first = await night(63)
  await world.repositories.forget(access, FCD, first.snapshotId)
  assert.equal(keysOf(store, 'checkpoint/'), [])
  await prune(repository)
  assert.equal(await unreachableObjects(repository), [])
  assert.is((await night(ALL)).packs, await whole)
})

test('map pages of an earlier night that cannot be read cost space, and no backup', async () => {
  const { store, world, repository, content, night } = await aVolume()
  const first = await night(63)
  const [checkpoint] = keysOf(store, 'checkpoint/')
  const { pages } = openCheckpoint(repository.keys, checkpoint!, store.objects.get(checkpoint!)!.body, '')
  const { pack, offset } = pages.get(0)!
  const { body, modifiedMs } = store.objects.get(`packs/${pack}`)!
  const damaged = Buffer.from(body)
  damaged[offset + 5]! ^= 1
  store.objects.set(`packs/${pack}`, { body: damaged, modifiedMs })
  const second = await night(ALL)
  assert.ok(world.warnings.includes('PageCorrupt'))
  assert.ok(second.packs < (await whole) - 50, `${first.packs} packs stood, and ${second.packs} were sent`)
  assert.ok(await restores(world, rootKey(second.session), content))
})

test('of thousands of sessions the newest few are looked at, and a LIST ends', async () => {
  const { store, content, world, begin, night } = await aVolume()
  await night(63)
  for (let n = 0; n < 12_000; n++) {
    const session = await world.newSession(`old ${n}`, '1', 1_000_000 + n)
    store.objects.set(checkpointKey(session, 1, 1), { body: Buffer.from('x'), modifiedMs: 0 })
  }
  const asked = { get: 0, list: 0, listed: 0 }
  const counting = new HookedStore(store, async () => 'go on')
  const [get, list] = [counting.get.bind(counting), counting.list.bind(counting)]
  counting.get = (key, signal) => {
    if (key.startsWith('checkpoint/')) asked.get++
    return get(key, signal)
  }
  counting.list = async function* (prefix, signal) {
    for await (const object of list(prefix, signal)) {
      if (prefix.startsWith('checkpoint/')) asked.listed++
      yield object
    }
  }
  const request = { content, workers: 1, ...(await begin()) }
  assert.is((await world.through(counting).uploadSlice(request)).state, 'sealed')
  assert.ok(asked.get <= 16 && asked.listed <= 10_100, JSON.stringify(asked))
})

test('what was given up is kept for eight days from its last checkpoint, or until the volume has a backup', async () => {
  const { times, store, repository, night } = await aVolume()
  const first = await night(30)
  times.nowMs += 7 * DAY_MS
  await prune(repository)
  const second = await night(20)
  assert.ok(second.state === 'more' && keysOf(store, `packs/${first.session}/`).length >= 30)
  times.nowMs += 7 * DAY_MS
  await prune(repository)
  assert.ok(keysOf(store, `packs/${first.session}/`).length >= 30, 'the second night names them')
  times.nowMs += DAY_MS + 1
  await prune(repository)
  assert.equal([...keysOf(store, 'packs/'), ...keysOf(store, 'checkpoint/')], [])
  assert.equal(await unreachableObjects(repository), [])
  assert.is((await night(ALL)).packs, await whole)
})

test('an idle session is given up and its data is kept; an exclusive prune deletes that at once', async () => {
  const { times, store, repository, content, begin, stoppedAfter, night } = await aVolume()
  const idle = await begin()
  await stoppedAfter(63, { content, workers: 1, ...idle })
  times.nowMs += 2 * DAY_MS
  assert.equal((await prune(repository)).fenced, [idle.session])
  assert.ok(keysOf(store, `packs/${idle.session}/`).length >= 63)
  const second = await night(5)
  assert.ok(second.packs <= 5 + PER_NIGHT)
  await prune(repository, { exclusive: true })
  assert.equal([...keysOf(store, 'packs/'), ...keysOf(store, 'checkpoint/')], [])
})

test.run()
