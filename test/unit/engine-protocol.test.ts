import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryDisk, MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import { LocationTable } from '#shared/repository/format/location-table.ts'
import { sealRetireList } from '#shared/repository/format/markers.ts'
import { retireKey } from '#shared/repository/format/names.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, bytesOf, CHUNK_BYTES, EngineWorld, FCD } from '#test/support/engine-world.ts'
import { HookedStore, type WriteHook } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: sessions, fences and retired packs')

async function aBackup(sectors = 900) {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(120 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors, fill: 7 }])
  const parentRoot = await world.backup(content, 's0')
  return { store, world, content, parentRoot }
}

async function restores(world: EngineWorld, root: string, content: MemoryDiskContent): Promise<boolean> {
  const target = new MemoryDiskContent(content.capacityBytes)
  await world.restoreSlice(target, root)
  return bytesOf(target).equals(bytesOf(content))
}

async function rejection(work: Promise<unknown>): Promise<{ reason?: string; name: string; message: string }> {
  try {
    await work
  } catch (error) {
    return error as Error
  }
  throw new Error('it did not fail')
}

test('a holder that was thought dead wakes up at any write and harms nothing', async () => {
  for (let n = 1; ; n++) {
    const { store, world, content, parentRoot } = await aBackup(200)
    applyChanges(content, [{ kind: 'write', sector: 100, sectors: 200, fill: 9 }])
    const session = await world.newSession('s1')
    const request = { content, session, snapshotId: 's1', parentRoot }
    let wake = () => {}
    let asleep = () => {}
    const sleeping = new Promise<void>((resolve) => {
      asleep = resolve
    })
    const sleepAt: WriteHook = async (write) => {
      if (write.n === n) {
        asleep()
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      return 'go on'
    }
    const zombie = new EngineWorld(new HookedStore(store, sleepAt)).uploadSlice({ ...request, slice: 1 })
    const ended = zombie.then(
      () => 'ended' as const,
      () => 'ended' as const,
    )
    if ((await Promise.race([sleeping.then(() => 'asleep' as const), ended])) === 'ended') return
    const outcome = await world.uploadSlice({ ...request, slice: 2 })
    assert.is(outcome.state, 'sealed')
    wake()
    await ended
    assert.ok(await restores(world, `roots/${session}`, content))
    assert.is((await world.repositories.backupsOf(access, FCD)).length, 2)
  }
})

test('an abandoned session can never be sealed, and its backup is not found', async () => {
  const { world, content } = await aBackup()
  const session = await world.newSession('s1')
  assert.is(await world.repositories.abandon(access, session), true)
  const error = await rejection(world.uploadSlice({ content, session, snapshotId: 's1' }))
  assert.is(error.reason, 'SessionFenced')
  assert.is(await world.repositories.find(access, FCD, 's1'), undefined)
  assert.is((await world.repositories.backupsOf(access, FCD)).length, 1)
  assert.is(await world.repositories.abandon(access, session), true, 'twice is the same')
})

test('a session that is abandoned while it uploads ends as fenced', async () => {
  const { store, world, content } = await aBackup(100)
  const session = await world.newSession('s1')
  const fence: WriteHook = async ({ key }) => {
    if (key.startsWith('index/')) await world.repositories.abandon(access, session)
    return 'go on'
  }
  const late = new EngineWorld(new HookedStore(store, fence)).uploadSlice({ content, session, snapshotId: 's1' })
  assert.is((await rejection(late)).reason, 'SessionFenced')
})

test('a sealed session cannot be abandoned: its backup stays', async () => {
  const { world, content, parentRoot } = await aBackup()
  assert.is(await world.repositories.abandon(access, parentRoot.slice('roots/'.length)), false)
  assert.ok(await restores(world, parentRoot, content))
})

test('a forgotten backup is gone, stays gone, and the session cannot bring it back', async () => {
  const { world, content, parentRoot } = await aBackup()
  const session = parentRoot.slice('roots/'.length)
  assert.is(await world.repositories.forget(access, FCD, 's0'), true)
  assert.is(await world.repositories.find(access, FCD, 's0'), undefined)
  assert.is(await world.repositories.forget(access, FCD, 's0'), false)
  assert.is((await rejection(world.uploadSlice({ content, session, snapshotId: 's0' }))).reason, 'SessionFenced')
  const restored = await rejection(world.restoreSlice(content.snapshot(), parentRoot))
  assert.is(restored.reason, 'SessionFenced')
  assert.match(restored.message, /was deleted: no restore brings it back/)
})

test('a session that is sealed answers so again, without reading the disk', async () => {
  const { world, content, parentRoot } = await aBackup()
  const before = world.bytesRead
  const again = await world.uploadSlice({ content, session: parentRoot.slice(6), snapshotId: 's0', slice: 9 })
  assert.is(again.state === 'sealed' && again.root, parentRoot)
  assert.is(world.bytesRead, before)
})

for (const how of ['changes', 'allocated', 'no parent'] as const) {
  test(`no backup of a session that saw a retire list names a retired pack: ${how}`, async () => {
    for (const which of [0, 1, 'pages'] as const) {
      const { store, world, content, parentRoot } = await aBackup()
      const packs = [...store.objects.keys()].filter((key) => key.startsWith('packs/')).map((key) => key.slice(6))
      const pages = (await pagePack(store, parentRoot)).slice(6)
      const retired = packs.filter((pack, index) => (which === 'pages' ? pack === pages : index % 2 === which))
      const { keys } = await requireRepository(store, access.password)
      await store.putIfAbsent(retireKey('1'), sealRetireList(keys, '1', retired, 0))
      const parent = how === 'no parent' ? {} : { parentRoot }
      const areas = how === 'changes' ? { changedAreas: [{ offsetBytes: 0, lengthBytes: 512 }] } : {}
      const root = await world.backup(content, 's1', { ...parent, ...areas })
      for (const pack of retired) await store.delete(`packs/${pack}`)
      assert.ok(await restores(world, root, content))
      assert.equal(world.warnings, [])
    }
  })
}

test('a parent that is gone or corrupt costs time, not the backup', async () => {
  for (const harm of ['forgotten', 'corrupt root', 'corrupt page'] as const) {
    const { store, world, content, parentRoot } = await aBackup()
    if (harm === 'forgotten') await world.repositories.forget(access, FCD, 's0')
    if (harm === 'corrupt root') flip(store, parentRoot, 200)
    if (harm === 'corrupt page') flipPage(store, await pagePack(store, parentRoot))
    applyChanges(content, [{ kind: 'write', sector: 50, sectors: 10, fill: 20 }])
    const changedAreas = [{ offsetBytes: 50 * 512, lengthBytes: 10 * 512 }]
    const root = await world.backup(content, 's1', { parentRoot, changedAreas })
    assert.ok(await restores(world, root, content), harm)
    assert.ok(world.warnings.length > 0, harm)
  }
})

test('changed areas are requested only while no slice has saved a plan, whatever happened to its checkpoint', async () => {
  for (const left of ['whole', 'gone', 'corrupt'] as const) {
    const { store, world, content, parentRoot } = await aBackup()
    const changedAreas = applyChanges(content, [{ kind: 'write', sector: 0, sectors: 800, fill: 20 }])
    const session = await world.newSession('s1')
    const request = { content, session, snapshotId: 's1', parentRoot }
    const before = world.bytesRead
    assert.equal(await world.askForSlice({ ...request, changedAreas: 'not asked' }), { state: 'unplanned' })
    assert.is(world.bytesRead, before, 'nothing was read')
    const stop = AbortSignal.abort()
    assert.is((await world.uploadSlice({ ...request, changedAreas, signal: stop })).state, 'more')
    const checkpoints = [...store.objects.keys()].filter((key) => key.startsWith('checkpoint/'))
    assert.ok(checkpoints.length > 0)
    for (const key of checkpoints) {
      if (left === 'gone') await store.delete(key)
      if (left === 'corrupt') flip(store, key, 200)
    }
    const next = await world.askForSlice({ ...request, slice: 2, changedAreas: 'not asked' })
    assert.is(next.state, left === 'whole' ? 'sealed' : 'unplanned', left)
    const outcome = next.state === 'unplanned' ? await world.uploadSlice({ ...request, slice: 2, changedAreas }) : next
    assert.ok(outcome.state === 'sealed' && outcome.mode === 'Changed')
    assert.ok(await restores(world, outcome.root, content), left)
  }
})

test('the disk must be as large as the backup says', async () => {
  const { world, content, parentRoot } = await aBackup()
  const small = new MemoryDiskContent(content.capacityBytes - CHUNK_BYTES)
  assert.is((await rejection(world.restoreSlice(small, parentRoot))).reason, 'CapacityMismatch')
})

test('a restore into a larger disk writes the backup, and nothing behind it', async () => {
  const { world, content, parentRoot } = await aBackup()
  const large = new MemoryDiskContent(content.capacityBytes + 3 * CHUNK_BYTES)
  new MemoryDisk(large).write(content.capacityBytes, Buffer.alloc(512, 7))
  assert.is((await world.restoreSlice(large, parentRoot)).state, 'done')
  const found = bytesOf(large)
  assert.ok(found.subarray(0, content.capacityBytes).equals(bytesOf(content)))
  assert.is(found[content.capacityBytes], 7)
})

test('many begun pages are stored before more are begun', async () => {
  const world = await EngineWorld.create()
  const content = new MemoryDiskContent(16 * 200 * CHUNK_BYTES, CHUNK_BYTES)
  const disk = new MemoryDisk(content)
  for (let page = 0; page < 200; page++) disk.write(page * 16 * CHUNK_BYTES, Buffer.alloc(512, page + 1))
  const root = await world.backup(content, 's1')
  assert.ok(await restores(world, root, content))
})

function flip(store: MemoryObjectStore, key: string, at: number): void {
  const body = store.objects.get(key)!.body
  body[at % body.length]! ^= 1
}

/** The pack that holds the root's pages. */
async function pagePack(store: MemoryObjectStore, root: string): Promise<string> {
  const { openRoot } = await import('#shared/repository/format/root.ts')
  const { keys } = await requireRepository(store, access.password)
  const { pages } = openRoot(keys, root.slice(6), store.objects.get(root)!.body, root)
  assert.ok(pages instanceof LocationTable)
  return `packs/${pages.packOf(0)}`
}

function flipPage(store: MemoryObjectStore, pack: string): void {
  flip(store, pack, 60)
}

test.run()
