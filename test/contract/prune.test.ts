// Prune over every store: memory, folder, and a real S3 server.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DAY_MS, HOUR_MS } from '#shared/kernel/units.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import { unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { createS3Store } from '#shared/repository/stores/s3/store.ts'
import { access, bytesOf, CHUNK_BYTES, EngineWorld, FCD } from '#test/support/engine-world.ts'
import { HookedStore } from '#test/support/store-faults.ts'
import { folderStore } from '#test/support/stores.ts'
import { applyChanges } from '#test/support/volume-history.ts'
import { type Gateway, settingsFor, startGateway } from './store-s3-support.ts'

const test = suite('prune over each store')
let gateway: Gateway
let folder: string

test.before(async () => {
  gateway = await startGateway(false)
  folder = await mkdtemp(join(tmpdir(), 'dormouse-prune-'))
})
test.after(async () => {
  await gateway.stop()
  await rm(folder, { recursive: true, force: true })
})

/** Two neighbouring places: prefixes of one bucket, or folders of one file system. */
const PLACES: Record<string, () => [ObjectStore, ObjectStore]> = {
  memory: () => [new MemoryObjectStore(), new MemoryObjectStore()],
  folder: () => [folderStore(join(folder, 'a')), folderStore(join(folder, 'b'))],
  S3: () => [
    createS3Store(settingsFor(gateway.s3, { prefix: 'shared' })),
    createS3Store(settingsFor(gateway.s3, { prefix: 'shared/dormouse-too' })),
  ],
}

async function keysOf(store: ObjectStore): Promise<string[]> {
  return (await Array.fromAsync(store.list(''))).map(({ key }) => key)
}

async function twoBackups(store: ObjectStore) {
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(60 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 300, fill: 7 }])
  const first = await world.backup(content.snapshot(), 's0')
  const changedAreas = applyChanges(content, [{ kind: 'write', sector: 50, sectors: 100, fill: 9 }])
  const second = await world.backup(content, 's1', { parentRoot: first, changedAreas })
  return { world, content, first, second }
}

for (const [name, open] of Object.entries(PLACES)) {
  test(`${name}: the space of a deleted and of a cancelled backup comes back, nothing else is touched`, async () => {
    const [store, neighbour] = open()
    const { world, content, second } = await twoBackups(store)
    await twoBackups(neighbour)
    const neighbours = await keysOf(neighbour)
    await world.repositories.forget(access, FCD, 's0')
    // An upload of another cluster runs in the same repository, and one is cancelled.
    const pause = async (snapshotId: string): Promise<{ session: string; other: MemoryDiskContent }> => {
      const other = content.snapshot()
      applyChanges(other, [{ kind: 'write', sector: 0, sectors: 400, fill: snapshotId.length + 20 }])
      const stop = new AbortController()
      const session = await world.newSession(snapshotId)
      const hooked = new HookedStore(store, async ({ key }) => {
        if (key.startsWith('packs/')) stop.abort()
        return 'go on'
      })
      const request = { content: other, session, snapshotId, signal: stop.signal }
      assert.is((await world.through(hooked).uploadSlice(request)).state, 'more')
      return { session, other }
    }
    const running = await pause('running')
    const cancelled = await pause('cancelled')
    await world.repositories.abandon(access, cancelled.session)
    const options = { sliceMs: HOUR_MS, sessionIdleMs: DAY_MS }
    const own = (await keysOf(store)).filter((key) => key.includes(running.session))
    assert.equal((await world.repositories.prune(access, options)).waitsFor, [running.session])
    assert.equal(
      (await keysOf(store)).filter((key) => key.includes(running.session)),
      own,
    )
    const request = { content: running.other, session: running.session, snapshotId: 'running', slice: 2 }
    assert.is((await world.uploadSlice(request)).state, 'sealed')
    const report = await world.repositories.prune(access, options)
    assert.is(report.state, 'done')
    assert.ok((report.removed['packs']?.bytes ?? 0) > 0)
    assert.equal(await unreachableObjects(await requireRepository(store, access.password)), [])
    assert.equal(await keysOf(neighbour), neighbours)
    for (const [root, bytes] of [
      [second, content],
      [`roots/${running.session}`, running.other],
    ] as const) {
      const target = new MemoryDiskContent(content.capacityBytes)
      await world.restoreSlice(target, root)
      assert.ok(bytesOf(target).equals(bytesOf(bytes)), root)
    }
  })
}

test.run()
