import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB, SECTOR_BYTES } from '#shared/kernel/units.ts'
import { MemoryDisk, MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, bytesOf, CHUNK_BYTES, EngineWorld, FCD } from '#test/support/engine-world.ts'
import { applyChanges, changes } from '#test/support/volume-history.ts'

const test = suite('engine: round trip')
const SECTORS = 700

async function restored(world: EngineWorld, root: string, capacityBytes: number): Promise<Buffer> {
  const target = new MemoryDiskContent(capacityBytes)
  const outcome = await world.restoreSlice(target, root)
  assert.is(outcome.state, 'done')
  assert.is(outcome.progress.bytesDone, capacityBytes)
  return bytesOf(target)
}

test('every backup of a random history is complete in itself, whatever the mode and the order', async () => {
  const history = fc.array(changes(SECTORS, 6), { minLength: 1, maxLength: 4 })
  const modes = fc.array(fc.constantFrom('changed', 'allocated', 'everything'), { minLength: 4, maxLength: 4 })
  const property = fc.asyncProperty(
    history,
    modes,
    fc.integer({ min: 1, max: SECTORS }),
    async (steps, how, sectors) => {
      const world = await EngineWorld.create()
      const content = new MemoryDiskContent(sectors * SECTOR_BYTES, 2 * KiB)
      const backups: { root: string; bytes: Buffer }[] = []
      for (const [index, step] of steps.entries()) {
        const areas = applyChanges(content, step)
        const parentRoot = backups.at(-1)?.root
        const changedAreas = how[index] === 'changed' && parentRoot !== undefined ? areas : undefined
        const options = { parentRoot, changedAreas, tellsAllocation: how[index] !== 'everything' }
        backups.push({ root: await world.backup(content, `s${index}`, options), bytes: bytesOf(content) })
      }
      for (const { root, bytes } of backups.toReversed()) {
        assert.ok((await restored(world, root, content.capacityBytes)).equals(bytes))
      }
      for (let removed = 0; removed < backups.length - 1; removed++) {
        assert.ok(await world.repositories.forget(access, FCD, `s${removed}`))
      }
      const last = backups.at(-1)
      assert.ok(last !== undefined && (await restored(world, last.root, content.capacityBytes)).equals(last.bytes))
      assert.equal(world.warnings, [])
    },
  )
  await fc.assert(property, { numRuns: 18 })
})

test('a run of changes reads only the changed chunks and stores only what is new', async () => {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(256 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 2048, fill: 7 }])
  const parentRoot = await world.backup(content, 's1')
  const before = world.bytesRead
  const stored = store.objects.size
  new MemoryDisk(content).write(100 * CHUNK_BYTES + SECTOR_BYTES, Buffer.alloc(SECTOR_BYTES, 1))
  const changedAreas = [{ offsetBytes: 100 * CHUNK_BYTES + SECTOR_BYTES, lengthBytes: SECTOR_BYTES }]
  await world.backup(content, 's2', { parentRoot, changedAreas })
  assert.is(world.bytesRead - before, CHUNK_BYTES)
  assert.is(
    store.objects.size - stored,
    6,
    'session, a pack of chunks, one of pages, one of the root’s copy, index, root',
  )
})

test('nothing changed stores nothing but the new backup itself', async () => {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(100 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 500, fill: 9 }])
  const parentRoot = await world.backup(content, 's1')
  const packs = [...store.objects.keys()].filter((key) => key.startsWith('packs/')).length
  await world.backup(content, 's2', { parentRoot })
  await world.backup(content, 's3', { parentRoot, changedAreas: [] })
  assert.is(
    [...store.objects.keys()].filter((key) => key.startsWith('packs/')).length,
    packs + 2,
    'the copies of two roots',
  )
})

test('unallocated areas are not read and zeros are not stored', async () => {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(1000 * CHUNK_BYTES, CHUNK_BYTES)
  new MemoryDisk(content).write(500 * CHUNK_BYTES, Buffer.alloc(2 * CHUNK_BYTES))
  const root = await world.backup(content, 's1')
  assert.is(world.bytesRead, 2 * CHUNK_BYTES)
  assert.is([...store.objects.keys()].filter((key) => key.startsWith('packs/')).length, 1, 'the copy of the root')
  assert.ok((await restored(world, root, content.capacityBytes)).equals(bytesOf(content)))
})

test('the same chunk at many places is stored once, in one backup and across volumes', async () => {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(200 * CHUNK_BYTES, CHUNK_BYTES)
  const disk = new MemoryDisk(content)
  const noise = Buffer.from(Array.from({ length: CHUNK_BYTES }, (_, at) => (at * at * 31 + (at >> 3)) & 0xff))
  for (let chunk = 0; chunk < 200; chunk++) disk.write(chunk * CHUNK_BYTES, noise)
  const session = await world.newSession('s1')
  const outcome = await world.uploadSlice({ content, session, snapshotId: 's1' })
  assert.ok(outcome.progress.bytesStored < 3 * CHUNK_BYTES, `${outcome.progress.bytesStored} bytes are stored`)
  const other = await world.uploadSlice({ content, session: await world.newSession('s2'), snapshotId: 's2' })
  assert.ok(other.progress.bytesStored < CHUNK_BYTES * 1.2, 'only pages')
})

test('a disk that is not zeroed gets its zeros written', async () => {
  const world = await EngineWorld.create()
  const content = new MemoryDiskContent(64 * CHUNK_BYTES, CHUNK_BYTES)
  new MemoryDisk(content).write(CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, 5))
  const root = await world.backup(content, 's1')
  const target = new MemoryDiskContent(content.capacityBytes)
  new MemoryDisk(target).write(0, Buffer.alloc(content.capacityBytes, 0xee))
  await world.restoreSlice(target, root, { targetIsZeroed: false })
  assert.ok(bytesOf(target).equals(bytesOf(content)))
})

test('a volume that has grown is looked at wholly, and what is known is not stored again', async () => {
  const world = await EngineWorld.create()
  const content = new MemoryDiskContent(20 * CHUNK_BYTES + SECTOR_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 161, fill: 11 }])
  const parentRoot = await world.backup(content, 's1')
  const larger = new MemoryDiskContent(50 * CHUNK_BYTES, CHUNK_BYTES)
  for (const [index, block] of content.blocks) larger.blocks.set(index, block.slice())
  const session = await world.newSession('s2')
  const outcome = await world.uploadSlice({ content: larger, session, snapshotId: 's2', parentRoot, changedAreas: [] })
  assert.is(outcome.state === 'sealed' && outcome.mode, 'Allocated')
  assert.ok((await restored(world, `roots/${session}`, larger.capacityBytes)).equals(bytesOf(larger)))
})

test.run()
