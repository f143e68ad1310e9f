import { createHash, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import { CorruptionError } from '#shared/kernel/errors.ts'
import { KiB, MiB } from '#shared/kernel/units.ts'
import { budgetFor } from '#shared/movers/block/budget.ts'
import { ByteGate } from '#shared/movers/block/byte-gate.ts'
import { planFetches } from '#shared/movers/block/download-plan.ts'
import { chunksOf, geometryOf, pageSpan, spanBytes } from '#shared/movers/block/geometry.ts'
import { LaneWork } from '#shared/movers/block/lane-work.ts'
import { isAllZero } from '#shared/movers/block/zero-test.ts'
import { MemoryDisk, MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { CheckpointCadence } from '#shared/repository/core/checkpoint-cadence.ts'
import { inParallel } from '#shared/repository/core/in-parallel.ts'
import { KnownChunks } from '#shared/repository/core/known-chunks.ts'
import { PackSet } from '#shared/repository/core/pack-set.ts'
import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import { PackBuilder, packBlob } from '#shared/repository/format/pack.ts'
import { RepositoryKeys } from '#shared/repository/format/repository-keys.ts'

const test = suite('engine: parts')
const SESSION = '0011223344556677-8899aabbccddeeff-018bcfe56800-deadbeef'

const packName = (n: number) => `${SESSION}/${n.toString(16).padStart(16, '0')}`

function aChunk(n: number, change: Partial<BlobLocation> = {}): BlobLocation {
  const id = createHash('sha256').update(`${n}`).digest().subarray(0, 16)
  return {
    id,
    pack: packName(n >> 4),
    offset: 40 + (n % 16) * 100,
    storedBytes: 100,
    rawBytes: 200,
    compressed: true,
    ...change,
  }
}

test('known chunks are found where they were added, up to the bound', () => {
  const known = new KnownChunks(1024)
  for (let n = 0; n < 200; n++) known.add(aChunk(n))
  for (let n = 0; n < 200; n++) {
    const { id, ...rest } = known.find(aChunk(n).id, 0) ?? aChunk(-1)
    const { id: wanted, ...expected } = aChunk(n)
    assert.equal(rest, expected)
    assert.ok(Buffer.compare(id, wanted) === 0)
  }
  assert.is(known.find(aChunk(9999).id, 0), undefined)
})

test('a full table of known chunks forgets some, and never returns a wrong place', () => {
  const known = new KnownChunks(1024)
  let found = 0
  for (let n = 0; n < 40_000; n++) known.add(aChunk(n, { pack: packName(n) }))
  for (let n = 0; n < 40_000; n++) {
    const place = known.find(aChunk(n).id, 0)
    if (place === undefined) continue
    found++
    assert.is(place.pack, packName(n))
  }
  assert.ok(found > 256 && found <= 1024, `${found} are left`)
})

test('the gate admits no more than its bytes, in order, and a request for more is admitted alone', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 20 })
  const property = fc.asyncProperty(sizes, async (wanted) => {
    const gate = new ByteGate(100)
    let inside = 0
    const order: number[] = []
    await Promise.all(
      wanted.map(async (bytes, index) => {
        const share = await gate.enter(bytes)
        inside += share
        order.push(index)
        assert.ok(inside <= 100)
        await systemClock.sleep(0)
        inside -= share
        gate.leave(share)
      }),
    )
    assert.equal(
      order,
      wanted.map((_, index) => index),
    )
  })
  await fc.assert(property, { numRuns: 10 })
})

test('packs that a map names are missed until they are listed, long enough', () => {
  const packs = new PackSet(SESSION)
  for (let n = 1; n <= 1000; n++) {
    packs.add(packName(n), 140)
    packs.add(packName(n), 500 + n)
  }
  for (let n = 1; n <= 1000; n++) {
    assert.is(packs.missing(2000).length, 1001 - n)
    packs.found(`packs/${packName(n)}`, 499 + n)
    packs.found(`packs/${SESSION}/ffffffffffff${String(n).padStart(4, '0')}`, 1_000_000)
    packs.found(`packs/${packName(n)}`, 500 + n)
  }
  assert.equal(packs.missing(1), [])
  packs.add(packName(7), 140)
  assert.equal(packs.missing(1), [packName(7)])
})

test('a fetch joins neighbours of a pack, within its bounds, and names each chunk once', () => {
  const entries = fc.array(fc.option(fc.nat(60)), { maxLength: 64 })
  fc.assert(
    fc.property(entries, fc.nat(10), (numbers, from) => {
      const map = new LocationTable(numbers.length)
      for (const [slot, n] of numbers.entries()) {
        // Offsets are sometimes far apart, so that gaps are too large to read over.
        if (n !== null) map.set(slot, aChunk(n, { offset: 40 + (n % 16) * (n % 3 === 0 ? 100_000 : 100) }))
      }
      const fetches = planFetches(map, 1000, 1000 + from, 1000)
      const chunks: number[] = []
      for (const fetch of fetches) {
        for (let pair = 0; pair < fetch.targets.length; pair += 2) {
          const blob = fetch.blobs.get(fetch.targets[pair]!)!
          const chunk = fetch.targets[pair + 1]!
          const wanted = map.get(chunk - 1000)!
          assert.is(blob.pack, fetch.pack)
          assert.ok(Buffer.compare(blob.id, wanted.id) === 0)
          assert.ok(blob.offset >= fetch.offset && blob.offset + blob.storedBytes <= fetch.offset + fetch.lengthBytes)
          chunks.push(chunk)
        }
        assert.ok(fetch.lengthBytes <= 1000, `${fetch.lengthBytes}`)
      }
      const wanted = numbers.flatMap((n, slot) => (n === null || slot < from ? [] : [1000 + slot]))
      assert.equal(
        chunks.sort((a, b) => a - b),
        wanted,
      )
    }),
  )
})

test('areas are widened to chunks and clipped to the volume', () => {
  const geometry = geometryOf(10 * 4096 + 512, { chunkBytes: 4096, pageChunks: 16 })
  assert.is(geometry.chunkCount, 11)
  assert.equal(chunksOf(geometry, { offsetBytes: 4095, lengthBytes: 2 }), { first: 0, end: 2 })
  assert.equal(chunksOf(geometry, { offsetBytes: 4096, lengthBytes: 4096 }), { first: 1, end: 2 })
  assert.equal(chunksOf(geometry, { offsetBytes: 40_000, lengthBytes: 1e9 }), { first: 9, end: 11 })
  assert.equal(chunksOf(geometry, { offsetBytes: 1e9, lengthBytes: 512 }), { first: 0, end: 0 })
  assert.equal(chunksOf(geometry, { offsetBytes: 512, lengthBytes: 0 }), { first: 0, end: 0 })
  assert.is(spanBytes(geometry, 9, 11), 4096 + 512)
  assert.equal(pageSpan(geometry, 0), { first: 0, end: 11 })
})

test('what the budget gives fits into the memory, for every memory and chunk size', () => {
  for (const memoryMib of [128, 256, 384, 512, 1024, 4096]) {
    for (const workers of [1, 2, 4]) {
      for (const chunkBytes of [256 * KiB, 512 * KiB, 4 * MiB]) {
        const budget = budgetFor(memoryMib, workers, chunkBytes)
        const packs = budget.packBytes * budget.packBuffersPerLane * workers
        const total = packs + 2 * budget.batchBytes * workers + 32 * budget.knownChunks
        assert.ok(budget.packBytes >= 2 * chunkBytes && budget.batchBytes >= chunkBytes)
        assert.is(budget.batchBytes % chunkBytes, 0)
        if (memoryMib >= 384 && chunkBytes < MiB)
          assert.ok(total < (memoryMib - 200) * MiB, `${memoryMib}, ${workers}: ${total}`)
      }
    }
  }
})

test('a checkpoint is due by time or by bytes, and one at a time', async () => {
  let nowMs = 0
  const clock = { ...systemClock, monotonicMs: () => nowMs }
  let written = 0
  let finish = () => {}
  const cadence = new CheckpointCadence(clock, 0, () => {
    written++
    return new Promise((resolve) => {
      finish = resolve
    })
  })
  const tickAt = (ms: number, bytes: number) => {
    nowMs = ms
    cadence.tick(bytes, () => assert.unreachable())
  }
  tickAt(1999, 1e12)
  assert.is(written, 0, 'too early, however much there is')
  tickAt(2000, 256 * MiB - 1)
  assert.is(written, 0)
  tickAt(2000, 256 * MiB)
  tickAt(60_000, 1e12)
  assert.is(written, 1, 'the first is under way')
  finish()
  await cadence.settle()
  tickAt(74_999, 256 * MiB)
  assert.is(written, 1)
  tickAt(75_000, 256 * MiB)
  assert.is(written, 2)
})

test('zeros are recognised', () => {
  for (const length of [512, 4096, 5000]) {
    const bytes = Buffer.alloc(length)
    assert.ok(isAllZero(bytes))
    for (const at of [0, 15, 16, 17, length / 2, length - 17, length - 16, length - 1].map(Math.floor)) {
      bytes[at] = 1
      assert.not.ok(isAllZero(bytes), `${at} of ${length}`)
      bytes[at] = 0
    }
  }
})

test('things are done a few at a time, and their results keep their order', async () => {
  let running = 0
  const results = await inParallel([3, 1, 2, 0, 5], 2, async (n) => {
    assert.ok(++running <= 2)
    await systemClock.sleep(n)
    running--
    return n * 10
  })
  assert.equal(results, [30, 10, 20, 0, 50])
})

test('a whole chunk of another length is never written over its neighbour', () => {
  const keys = new RepositoryKeys('ab'.repeat(16), randomBytes(32))
  const raw = randomBytes(8192)
  const builder = new PackBuilder(keys, packName(1), Buffer.alloc(20_000))
  builder.append('chunk', keys.chunkId(raw), packBlob(raw))
  const bytes = builder.finish()
  const blob = builder.blobs[0]!
  const content = new MemoryDiskContent(16 * 4096)
  const setup = {
    repositoryId: keys.repositoryId,
    master: keys.master,
    session: '',
    chunkBytes: 4096,
    capacityBytes: content.capacityBytes,
    packBytes: 0,
    packBuffers: 0,
    stop: new SharedArrayBuffer(4),
  }
  const lane = new LaneWork(new MemoryDisk(content), setup, () => {})
  const part = {
    header: bytes.slice(0, 40),
    where: 'here',
    offset: 0,
    bytes,
    blobs: LocationTable.from([blob]).encode(),
    targets: Uint32Array.of(0, 3),
  }
  try {
    lane.write(part)
    assert.unreachable()
  } catch (error) {
    assert.ok(error instanceof CorruptionError && error.reason === 'PageCorrupt')
  }
  assert.is(content.blocks.size, 0)
})

test.run()
