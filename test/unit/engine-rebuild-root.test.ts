import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import { DormouseError, RetryableError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import type { ObjectStore, StoredObject } from '#shared/ports/object-store.ts'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import { sealRetireList } from '#shared/repository/format/markers.ts'
import { packKey, retireKey } from '#shared/repository/format/names.ts'
import { openObject, sealObject } from '#shared/repository/format/sealed-object.ts'
import { pruneRepository } from '#shared/repository/maintenance/prune.ts'
import { rebuildRoot } from '#shared/repository/maintenance/rebuild-root.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, CHUNK_BYTES, EngineWorld, FCD } from '#test/support/engine-world.ts'
import { keysOf, prune, restores } from '#test/support/prune-world.ts'
import { copyPacks } from '#test/support/root-copies.ts'
import { dyingAt, HookedStore } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: lost roots')

/** Makes two backups; the second shares pages with the first. Returns the second, and deletes its root. */
async function lostRoot() {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(80 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 600, fill: 7 }])
  const first = await world.backup(content, 's1')
  const changedAreas = applyChanges(content, [{ kind: 'write', sector: 200, sectors: 8, fill: 9 }])
  const key = await world.backup(content, 's2', { parentRoot: first, changedAreas })
  const repository = await requireRepository(store, access.password)
  const session = key.slice('roots/'.length)
  const { body } = store.objects.get(key)!
  const payload = Buffer.from(openObject(repository.keys, 'root', key, body, key))
  const [copy = ''] = [...(await copyPacks(store))].filter((pack) => pack.includes(session))
  store.objects.delete(key)
  return { store, world, content, repository, session, key, payload, copy, first }
}

const options = { nowMs: 0 }

async function reasonOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'none',
    (error: unknown) => (error instanceof DormouseError ? error.reason : String(error)),
  )
}

test('a root that is lost is made again from packs alone: it says the same, and restores the same bytes', async () => {
  const { store, world, content, repository, session, key, payload } = await lostRoot()
  for (const other of keysOf(store, 'index/')) store.objects.delete(other)
  const { key: made, stood } = await rebuildRoot(repository, session, options)
  assert.equal([made, stood], [key, false])
  const { body } = store.objects.get(key)!
  assert.ok(Buffer.from(openObject(repository.keys, 'root', key, body, key)).equals(payload))
  assert.ok(await restores(world, key, content))
  assert.is((await rebuildRoot(repository, session, options)).stood, true, 'twice is the same')
  assert.ok(store.objects.get(key)!.body === body)
})

test('a prune before and after leaves what a lost root names, as long as its session is not given up', async () => {
  const { world, content, repository, session, key } = await lostRoot()
  await world.repositories.forget(access, FCD, 's1')
  await pruneRepository(repository, { clock: systemClock, sliceMs: 60_000, sessionIdleMs: Number.MAX_SAFE_INTEGER })
  await rebuildRoot(repository, session, options)
  await prune(repository)
  assert.ok(await restores(world, key, content))
})

test('a backup that was deleted is not made again', async () => {
  const { store, world, repository, session, key } = await lostRoot()
  await rebuildRoot(repository, session, options)
  await world.repositories.forget(access, FCD, 's2')
  const { body } = store.objects.get(key)!
  assert.is(await reasonOf(rebuildRoot(repository, session, options)), 'SessionFenced')
  assert.ok(store.objects.get(key)!.body === body)
})

test('without a copy, with a copy of another session, or with a pack that is gone, no root is made', async () => {
  const cases: [string, (lost: Awaited<ReturnType<typeof lostRoot>>) => Promise<void>][] = [
    ['the copy is gone', async ({ store, copy }) => void store.objects.delete(copy)],
    [
      'the copy is of the first backup',
      async ({ store, copy, first }) => {
        const [other = ''] = [...(await copyPacks(store))].filter((pack) => pack.includes(first.slice('roots/'.length)))
        store.objects.set(copy, store.objects.get(other)!)
      },
    ],
    [
      'the copy is damaged',
      async ({ store, copy }) => {
        store.objects.get(copy)!.body[60]! ^= 1
      },
    ],
    [
      'a pack of the backup is gone',
      async ({ store, session, copy }) => {
        const [pack = ''] = keysOf(store, `packs/${session}/`).filter((key) => key !== copy)
        store.objects.delete(pack)
      },
    ],
    [
      'the packs of its parent are gone',
      async ({ store, session }) => {
        for (const pack of keysOf(store, 'packs/')) if (!pack.includes(session)) store.objects.delete(pack)
      },
    ],
  ]
  for (const [what, harm] of cases) {
    const lost = await lostRoot()
    await harm(lost)
    assert.is(await reasonOf(rebuildRoot(lost.repository, lost.session, options)), 'RootMissing', what)
    assert.not.ok(lost.store.objects.has(lost.key), what)
  }
})

test('of two copies, one whose packs are gone is passed over', async () => {
  const { store, world, content, repository, session, key, copy } = await lostRoot()
  const other = keysOf(store, 'packs/').find((pack) => pack.includes(session) && pack !== copy)!
  const twin = `${other.slice(0, -16)}00000000000000ff`
  store.objects.set(twin, { ...store.objects.get(copy)!, body: store.objects.get(copy)!.body.slice(0, 80) })
  await rebuildRoot(repository, session, options)
  assert.ok(await restores(world, key, content))
})

test('when the session’s marker is lost as well, what a collection has retired is not named again', async () => {
  const { store, repository, session, key, first } = await lostRoot()
  const named = keysOf(store, `packs/${first.slice('roots/'.length)}/`).map((each) => each.slice(packKey('').length))
  store.objects.set(retireKey('g'), { body: sealRetireList(repository.keys, 'g', named, 0), modifiedMs: 0 })
  store.objects.delete(`session/${session}`)
  assert.is(await reasonOf(rebuildRoot(repository, session, options)), 'PackRetired')
  assert.not.ok(store.objects.has(key))
  assert.ok(store.objects.has(`session/${session}`), 'a prune that begins now waits for it')
  assert.is(await reasonOf(rebuildRoot(repository, session, options)), 'PackRetired', 'its own marker proves nothing')
  store.objects.delete(retireKey('g'))
  assert.is((await rebuildRoot(repository, session, options)).stood, false)
})

test('while the marker of the lost backup exists, prune waits for it, because it may name what prune retires', async () => {
  const { store, world, content, repository, session, key } = await lostRoot()
  const named = keysOf(store, 'packs/').map((each) => each.slice(packKey('').length))
  store.objects.set(retireKey('g'), { body: sealRetireList(repository.keys, 'g', named, 0), modifiedMs: 0 })
  assert.is(await reasonOf(rebuildRoot(repository, session, options)), 'PackRetired', 'no prune says that it waits')
  assert.equal((await prune(repository)).waitsFor, [session])
  await rebuildRoot(repository, session, options)
  await prune(repository)
  assert.ok(await restores(world, key, content))
})

/** A store that cannot list what is retired. */
class UnlistedStore extends HookedStore {
  override async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    if (prefix === retireKey('')) throw new RetryableError('StoreBusy', 'try again later')
    yield* super.list(prefix, signal)
  }
}

/** Stores in which a first attempt fails: at each of its two writes, or when it reads what is retired. */
const FAILURES: Record<string, (store: ObjectStore) => ObjectStore> = {
  'dies before its marker': (store) => new HookedStore(store, dyingAt(1, 'die before')),
  'dies after its marker': (store) => new HookedStore(store, dyingAt(1, 'die after')),
  'cannot read what is retired': (store) => new UnlistedStore(store, async () => 'go on'),
  'dies before its root': (store) => new HookedStore(store, dyingAt(2, 'die before')),
  'dies after its root': (store) => new HookedStore(store, dyingAt(2, 'die after')),
}

for (const isMarkerLost of [true, false]) {
  for (const [what, failing] of Object.entries(FAILURES)) {
    const marker = isMarkerLost ? 'lost as well' : 'there'
    test(`marker ${marker}: an attempt ${what} beside a prune, and the next one names no pack that goes`, async () => {
      const lost = await lostRoot()
      await lost.world.repositories.forget(access, FCD, 's1')
      if (isMarkerLost) lost.store.objects.delete(`session/${lost.session}`)
      const before = [...lost.store.objects]
      const outcomes = new Set<string>()
      for (let n = 1, isBeside = true; isBeside; n++) {
        const store = new MemoryObjectStore()
        for (const [key, object] of before) store.objects.set(key, { ...object })
        const repository = { ...lost.repository, store }
        isBeside = false
        const beside = new HookedStore(store, async (write) => {
          if (write.n !== n) return 'go on'
          isBeside = true
          await reasonOf(rebuildRoot({ ...repository, store: failing(store) }, lost.session, options))
          outcomes.add(await reasonOf(rebuildRoot(repository, lost.session, options)))
          return 'go on'
        })
        const never = { sessionIdleMs: Number.MAX_SAFE_INTEGER }
        await prune({ ...repository, store: beside }, never)
        await prune(repository, never)
        if (!store.objects.has(lost.key)) continue
        assert.ok(await restores(lost.world.through(store), lost.key, lost.content), `write ${n} of the prune`)
      }
      assert.ok(outcomes.has('none'), 'some are made')
      assert.ok(!isMarkerLost || outcomes.has('PackRetired'), 'some are refused')
    })
  }
}

test('a planted pack of any size costs little, whatever its trailer says', async () => {
  const { store, repository, session, copy } = await lostRoot()
  store.objects.delete(copy)
  const body = Buffer.alloc(20 * MiB)
  body.write('DORMPAK1', 0, 'latin1')
  body.writeUInt32LE(body.length - 12, body.length - 12)
  body.write('DORMEND1', body.length - 8, 'latin1')
  store.objects.set(packKey(`${session}/00000000000000fe`), { body, modifiedMs: 0 })
  let most = 0
  const getRange = repository.store.getRange.bind(repository.store)
  repository.store.getRange = async (...args) => {
    const bytes = await getRange(...args)
    most = Math.max(most, bytes?.length ?? 0)
    return bytes
  }
  const warnings: string[] = []
  const work = rebuildRoot(repository, session, { ...options, warn: (reason) => void warnings.push(reason) })
  assert.is(await reasonOf(work), 'RootMissing')
  assert.equal(warnings, ['PackCorrupt'])
  assert.ok(most < MiB, `${most} bytes`)
})

test('an object at the root’s key that does not open is named, and left alone', async () => {
  const { store, repository, session, key, payload } = await lostRoot()
  const body = sealObject(repository.keys, 'root', key, payload)
  body[100]! ^= 1
  store.objects.set(key, { body, modifiedMs: 0 })
  assert.is(await reasonOf(rebuildRoot(repository, session, options)), 'RootCorrupt')
  assert.is(await reasonOf(rebuildRoot(repository, '../config', options)), 'SessionInvalid')
})

test.run()
