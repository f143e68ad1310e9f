// Keys that somebody who can write the bucket, or a tool that makes folders, has put beside ours: they stop nothing and count
// for nothing.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryDiskContent } from '#shared/adapters/memory/disk.ts'
import { MemoryObjectStore } from '#shared/adapters/memory/object-store.ts'
import { CHUNK_BYTES, EngineWorld } from '#test/support/engine-world.ts'
import { keysOf, restores } from '#test/support/prune-world.ts'
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

/** A backup that takes everything over from the parent, in as many slices as it needs. */
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

test.run()
