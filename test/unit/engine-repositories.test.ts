import { generateKeyPairSync } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RepositoryAccess } from '#shared/ports/mover.ts'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { openRepository } from '#shared/repository/core/repository.ts'
import { claimedKind } from '#shared/repository/format/sealed-object.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, CHUNK_BYTES, EngineWorld, FCD } from '#test/support/engine-world.ts'
import { reasonOf } from '#test/support/reason.ts'
import { dyingAt, HookedStore } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: repositories')
const other: RepositoryAccess = { ...access, password: 'another' }

test('a repository is created once and opened from then on', async () => {
  const world = new EngineWorld()
  const created = await world.repositories.ensure(access, undefined)
  const opened = await new EngineWorld(world.store).repositories.ensure(access, undefined)
  assert.is(created.created, true)
  assert.equal(opened, { ...created, created: false })
  assert.is(created.conditionalPut, true)
  assert.is(created.recoverySlot, false)
})

test('a repository that is only read is opened without a single write', async () => {
  const store = new MemoryObjectStore()
  assert.is(await reasonOf(new EngineWorld(store).repositories.inspect(access)), 'RepositoryMissing')
  const created = await new EngineWorld(store).repositories.ensure(access, undefined)
  const before = [...store.objects].map(([key, body]) => `${key} ${JSON.stringify(body)}`)
  const seen = await new EngineWorld(store).repositories.inspect(access)
  assert.equal(seen, { ...created, created: false, conditionalPut: undefined })
  assert.equal(
    [...store.objects].map(([key, body]) => `${key} ${JSON.stringify(body)}`),
    before,
  )
})

test('a wrong secret is reported with the slots that were tried, and changes nothing', async () => {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const before = [...store.objects.keys()]
  assert.is(await reasonOf(world.repositories.ensure(other, undefined)), 'RepositoryKeyWrong')
  assert.is(await reasonOf(world.repositories.backupsOf(other, FCD)), 'RepositoryKeyWrong')
  assert.equal([...store.objects.keys()], before)
})

test('another repository than the wanted one is refused by name, whatever opens it, and none is made in its place', async () => {
  const world = await EngineWorld.create()
  const wanted = (await world.repositories.inspect(access)).repositoryId
  const store = new MemoryObjectStore()
  const there = await EngineWorld.create(store)
  const { repositories } = there
  const content = new MemoryDiskContent(CHUNK_BYTES)
  const root = await there.backup(content, 'snapshot')
  const moved: RepositoryAccess = { ...access, repositoryId: wanted }
  const before = [...store.objects.keys()]
  const attempts: Promise<unknown>[] = [
    repositories.ensure(moved, undefined),
    repositories.inspect(moved),
    repositories.backupsOf(moved, FCD),
    repositories.rootsOf(moved, FCD, 'snapshot'),
    repositories.forget(moved, FCD, 'snapshot'),
    repositories.prune(moved, { sliceMs: 1000, sessionIdleMs: 1000 }),
    there.backup(content, 'another', { repository: moved }),
    there.restoreSlice(content, root, { repository: moved }),
    repositories.ensure({ ...moved, password: 'another' }, undefined),
  ]
  for (const attempt of attempts) assert.is(await reasonOf(attempt), 'RepositoryDiffers')
  assert.equal([...store.objects.keys()], before)
  const empty = new MemoryObjectStore()
  assert.is(await reasonOf(new EngineWorld(empty).repositories.ensure(moved, undefined)), 'RepositoryMissing')
  assert.equal([...empty.objects.keys()], [])
})

test('a copy of the bucket holds the same repository', async () => {
  const store = new MemoryObjectStore()
  const { repositoryId } = await (await EngineWorld.create(store)).repositories.inspect(access)
  const copy = new MemoryObjectStore()
  for (const key of store.objects.keys()) await copy.putIfAbsent(key, (await store.get(key))!)
  const opened = await new EngineWorld(copy).repositories.ensure({ ...access, repositoryId }, undefined)
  assert.equal([opened.repositoryId, opened.created], [repositoryId, false])
})

test('two that create at the same time end with one repository', async () => {
  for (let round = 0; round < 5; round++) {
    const store = new MemoryObjectStore()
    const worlds = [1, 2, 3].map(() => new EngineWorld(store))
    const states = await Promise.all(worlds.map((world) => world.repositories.ensure(access, undefined)))
    assert.is(new Set(states.map(({ repositoryId }) => repositoryId)).size, 1)
    assert.is(states.filter(({ created }) => created).length, 1)
    assert.is(
      [...store.objects.keys()].filter((key) => key.startsWith('keys/')).length,
      1,
      'losers take their slots away',
    )
  }
})

test('a creator that dies at any write bricks nothing', async () => {
  for (let n = 1; ; n++) {
    for (const when of ['die before', 'die after'] as const) {
      const store = new MemoryObjectStore()
      const recovery = { kind: 'passphrase', passphrase: 'paper' } as const
      const dying = new EngineWorld(new HookedStore(store, dyingAt(n, when)))
      const survived = (await reasonOf(dying.repositories.ensure(access, recovery))) === 'none'
      await new EngineWorld(store).repositories.ensure(access, recovery)
      assert.ok(await openRepository(store, 'paper'))
      if (survived) return
    }
  }
})

test('a recovery passphrase opens it, and can be added later', async () => {
  const world = await EngineWorld.create()
  const recovery = { kind: 'passphrase', passphrase: 'on paper' } as const
  assert.is((await world.repositories.ensure(access, recovery)).recoverySlot, true)
  assert.is((await world.repositories.ensure(access, undefined)).recoverySlot, true)
  const opened = await openRepository(world.store, 'on paper')
  assert.is(opened?.slots.size, 2)
  await world.repositories.ensure(access, recovery)
  assert.is((await openRepository(world.store, access.password))?.slots.size, 2, 'one recovery slot is enough')
})

for (const type of ['rsa', 'x25519'] as const) {
  test(`an ${type} recovery key opens it with its private half`, async () => {
    const pair = type === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('x25519')
    const pem = pair.publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const secret = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    const world = new EngineWorld()
    const state = await world.repositories.ensure(access, { kind: 'publicKey', pem })
    assert.is(state.recoverySlot, true)
    const opened = await openRepository(world.store, secret)
    assert.is(opened?.config.repositoryId, state.repositoryId)
    const stranger = generateKeyPairSync('x25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    assert.is(await reasonOf(openRepository(world.store, stranger)), 'RepositoryKeyWrong')
  })
}

test('a recovery key that cannot wrap is refused before anything is written', async () => {
  for (const pem of [
    'no key',
    generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  ]) {
    const store = new MemoryObjectStore()
    const work = new EngineWorld(store).repositories.ensure(access, { kind: 'publicKey', pem })
    assert.is(await reasonOf(work), 'RecoveryKeyInvalid')
    assert.equal([...store.objects.keys()], [])
  }
})

test('a wrong repository is reported before an unusable recovery key', async () => {
  const world = await EngineWorld.create()
  const { repositoryId } = await world.repositories.inspect(access)
  const told: string[] = []
  const bad = { kind: 'publicKey', pem: 'no key' } as const
  const work = world.repositories.ensure(access, bad, async (id) => void told.push(id))
  assert.is(await reasonOf(work), 'RecoveryKeyInvalid')
  assert.equal(told, [repositoryId])
})

test('a changed config is noticed, and a lost one does not become a new repository', async () => {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 8, fill: 9 }])
  await world.backup(content, 's1')
  const config = store.objects.get('config')!
  const text = Buffer.from(config.body).toString('utf8')
  store.objects.set('config', {
    ...config,
    body: Buffer.from(text.replace('"chunkBytes": 4096', '"chunkBytes": 8192')),
  })
  assert.is(await reasonOf(world.repositories.ensure(access, undefined)), 'RepositoryConfigCorrupt')
  store.objects.set('config', { ...config, body: Buffer.from(text.replace('"version": 1', '"version": 2')) })
  assert.is(await reasonOf(world.repositories.ensure(access, undefined)), 'RepositoryVersionUnknown')
  store.objects.delete('config')
  assert.is(await reasonOf(world.repositories.ensure(access, undefined)), 'RepositoryConfigMissing')
  assert.is(await reasonOf(world.repositories.find(access, FCD, 's1')), 'RepositoryMissing')
})

test('a store that overwrites is found out', async () => {
  const store = new MemoryObjectStore()
  const put = store.putIfAbsent.bind(store)
  store.putIfAbsent = async (key, body) => {
    store.objects.delete(key)
    return put(key, body)
  }
  const state = await new EngineWorld(store).repositories.ensure(access, undefined)
  assert.is(state.conditionalPut, false)
  assert.equal(
    [...store.objects.keys()].filter((key) => key.startsWith('probe/')),
    [],
  )
})

test('backups of a volume are found newest first, and only its own', async () => {
  const world = await EngineWorld.create()
  const content = new MemoryDiskContent(CHUNK_BYTES)
  for (const [snapshot, createdMs] of [
    ['a', 3000],
    ['b', 1000],
    ['c', 2000],
  ] as const) {
    await world.backup(content, snapshot, { session: await world.newSession(snapshot, '1', createdMs) })
  }
  const found = await world.repositories.backupsOf(access, FCD)
  assert.equal(
    found.map(({ source }) => source.snapshotId),
    ['a', 'c', 'b'],
  )
  assert.equal(await world.repositories.backupsOf(access, 'fcd-2'), [])
  const one = await world.repositories.find(access, FCD, 'c')
  assert.is(one?.about.claim, 'ns/pvc')
  assert.is(one?.source.capacityBytes, CHUNK_BYTES)
})

test('one corrupt root hides no other backup', async () => {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(CHUNK_BYTES)
  const root = await world.backup(content, 'a')
  await world.backup(content, 'b')
  store.objects.get(root)!.body[100]! ^= 1
  assert.is((await world.repositories.backupsOf(access, FCD)).length, 1)
  assert.equal(world.warnings, ['RootCorrupt'])
  assert.is(await reasonOf(world.repositories.find(access, FCD, 'a')), 'RootCorrupt')
})

test('a deletion that dies at any write and is repeated leaves a tombstone: no late writer can seal that session', async () => {
  for (const n of [1, 2]) {
    for (const when of ['die before', 'die after'] as const) {
      const store = new MemoryObjectStore()
      const world = await EngineWorld.create(store)
      const root = await world.backup(new MemoryDiskContent(CHUNK_BYTES), 's1')
      const dying = world.through(new HookedStore(store, dyingAt(n, when)))
      assert.is(await reasonOf(dying.repositories.forget(access, FCD, 's1')), 'StoreGone')
      await world.repositories.forget(access, FCD, 's1')
      assert.is(claimedKind(store.objects.get(root)?.body ?? new Uint8Array()), 'tombstone', `${when} write ${n}`)
    }
  }
})

test('every root of a disk snapshot is found, also one that does not open, and no other', async () => {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(CHUNK_BYTES)
  const first = await world.backup(content, 's1')
  const second = await world.backup(content, 's1', { session: await world.newSession('s1', '2', 1_800_000_000_000) })
  const third = await world.backup(content, 's2')
  store.objects.get(first)!.body[100]! ^= 1
  const found = await world.repositories.rootsOf(access, FCD, 's1')
  assert.equal(
    found.map(({ root, session, about }) => [root, `roots/${session}`, about?.claim]),
    [
      [second, second, 'ns/pvc'],
      [first, first, undefined],
    ],
  )
  assert.is(await world.repositories.forget(access, FCD, 's1', [second, third]), true)
  assert.equal(await standing(store), [first, third].sort(), 'only what was named, and of this disk snapshot')
})

async function standing(store: MemoryObjectStore): Promise<string[]> {
  const roots = [...store.objects].filter(([key]) => key.startsWith('roots/'))
  return roots
    .filter(([, { body }]) => claimedKind(body) !== 'tombstone')
    .map(([key]) => key)
    .sort()
}

test('a backup that is sealed while others of its disk snapshot are forgotten stays', async () => {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(CHUNK_BYTES)
  const first = await world.backup(content, 's1')
  const late = await world.newSession('s1', '2')
  const sealing = new HookedStore(store, async ({ kind, key }) => {
    if (kind === 'delete' && key === first) await world.backup(content, 's1', { session: late })
    return 'go on'
  })
  await world.through(sealing).repositories.forget(access, FCD, 's1', [first])
  assert.equal(await standing(store), [`roots/${late}`])
  const open = await world.newSession('s1', '3')
  await world.uploadSlice({
    content: new MemoryDiskContent(CHUNK_BYTES),
    session: open,
    snapshotId: 's1',
    signal: AbortSignal.abort(),
  })
  await world.repositories.forget(access, FCD, 's1', [])
  assert.equal(await standing(store), [`roots/${late}`])
  assert.is(
    claimedKind(store.objects.get(`roots/${open}`)?.body ?? new Uint8Array()),
    'tombstone',
    'a session is fenced',
  )
})

test('a session id depends on backup and attempt only, and reveals neither', async () => {
  const world = await EngineWorld.create()
  const first = await world.newSession('s1', 'uid-1')
  assert.is(await world.newSession('s1', 'uid-1'), first)
  assert.is.not(await world.newSession('s1', 'uid-2'), first)
  assert.match(first, /^[0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{12}-[0-9a-f]{8}$/)
  const elsewhere = await (await EngineWorld.create()).newSession('s1', 'uid-1')
  assert.is.not(elsewhere.slice(0, 33), first.slice(0, 33), 'tags are keyed')
})

test.run()
