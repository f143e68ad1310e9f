// Keys that an attacker, or a tool that creates folders, has put beside Dormouse's own: they stop nothing and have no effect.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { claimedKind } from '#shared/repository/format/sealed-object.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, CHUNK_BYTES, EngineWorld, FCD } from '#test/support/engine-world.ts'
import { keysOf, prune, restores, twoBackups } from '#test/support/prune-world.ts'
import { CallClock, TickingStore } from '#test/support/ticking-store.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: planted names')

async function aParent() {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(120 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 900, fill: 7 }])
  const parentRoot = await world.backup(content.snapshot(), 's0')
  return { store, world, content, parentRoot }
}
type Parent = Awaited<ReturnType<typeof aParent>>

/** A backup that takes everything over from its parent, in as many slices as it needs. */
async function nextBackup({ world, content, parentRoot }: Parent, snapshotId: string): Promise<string> {
  const session = await world.newSession(snapshotId)
  for (let slice = 1; slice < 10; slice++) {
    const { state } = await world.uploadSlice({ content, session, snapshotId, parentRoot, changedAreas: [], slice })
    if (state === 'sealed') return `roots/${session}`
  }
  throw new Error('not sealed in ten slices')
}

test('a key beside the packs that names no pack stops no later backup', async () => {
  const parent = await aParent()
  const folder = `packs/${parent.parentRoot.slice('roots/'.length)}/`
  for (const name of ['', 'x', '.fake', '0000000000000001.part', 'a b', '-1', '\uFFFD'])
    await parent.store.putIfAbsent(folder + name, Buffer.from('x'))
  assert.ok(await restores(parent.world, await nextBackup(parent, 's1'), parent.content))
})

test('a pack that was moved into a folder is lost, and is stored anew', async () => {
  const parent = await aParent()
  for (const [n, lost] of keysOf(parent.store, 'packs/').entries()) {
    if (!lost.startsWith(`packs/${parent.parentRoot.slice('roots/'.length)}/`)) continue
    const moved = lost.replace(/\/([^/]*)$/, '/old/$1')
    const entry = parent.store.objects.get(lost)!
    parent.store.objects.delete(lost)
    parent.store.objects.set(moved, entry)
    const root = await nextBackup(parent, `s${n + 1}`)
    assert.ok(await restores(parent.world, root, parent.content), lost)
    parent.store.objects.delete(moved)
    parent.store.objects.set(lost, entry)
  }
})

/** A retire list that LIST always shows and GET does not find. */
function neverGone(store: MemoryObjectStore, key: string): void {
  const list = store.list.bind(store)
  store.list = async function* (prefix: string) {
    yield* list(prefix)
    if (key.startsWith(prefix)) yield { key, bytes: 1, modifiedMs: 1 }
  } as MemoryObjectStore['list']
}

test('a retire list that is listed and cannot be got ends no prune, and stops none', async () => {
  const { store, world, repository, second } = await twoBackups()
  await world.repositories.forget(access, FCD, 's0')
  neverGone(store, 'retire/\uFFFD')
  const before = keysOf(store, 'packs/').length
  const clock = new CallClock()
  const warnings: string[] = []
  const warn = (reason: string) => void warnings.push(reason)
  const ticking = new TickingStore(store, () => clock.tick())
  const report = await prune({ ...repository, store: ticking }, { clock, sliceMs: 10_000, warn })
  assert.is(report.state, 'done')
  assert.ok(clock.calls < 200, `${clock.calls} calls`)
  assert.equal(warnings, ['RetireListStands'])
  assert.ok(keysOf(store, 'packs/').length < before)
  const [root = ''] = keysOf(store, 'roots/').filter((key) => claimedKind(store.objects.get(key)!.body) === 'root')
  assert.ok(await restores(world, root, second))
})

test('a store that loses each new retire list does not occupy a prune until its time is up', async () => {
  const { store, world, repository } = await twoBackups()
  await world.repositories.forget(access, FCD, 's0')
  const get = store.get.bind(store)
  store.get = async (key: string) => (key.startsWith('retire/') ? undefined : await get(key))
  const clock = new CallClock()
  const ticking = new TickingStore(store, () => clock.tick())
  const report = await prune({ ...repository, store: ticking }, { clock, sliceMs: 10_000 })
  assert.is(report.state, 'done')
  assert.ok(clock.calls < 200, `${clock.calls} calls`)
})

test.run()
