// Joining changed areas from many answers: nothing may be missed, and an answer that contradicts itself is refused.

import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { mergeExtents } from '#shared/domain/extents.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { SECTOR_BYTES } from '#shared/kernel/units.ts'
import type { Extent } from '#shared/ports/disk.ts'
import { collectChangedAreas } from '#shared/providers/vsphere/areas.ts'
import { checkId, parseChangeId } from '#shared/providers/vsphere/ids.ts'

const test = suite('changed areas')
const extents = (list: [number, number][]) => list.map(([offsetBytes, lengthBytes]) => ({ offsetBytes, lengthBytes }))

/** The sectors that the areas cover, on a disk of `sectors` sectors. */
function sectorsOf(areas: readonly Extent[], sectors: number): Set<number> {
  const covered = new Set<number>()
  for (const { offsetBytes, lengthBytes } of areas) {
    if (lengthBytes === 0) continue
    for (let at = Math.floor(offsetBytes / SECTOR_BYTES); at * SECTOR_BYTES < offsetBytes + lengthBytes; at++) {
      if (at < sectors) covered.add(at)
    }
  }
  return covered
}

test('merging covers the same sectors, ascending, apart, and inside of the disk', () => {
  const area = fc.record({ offsetBytes: fc.nat(40 * SECTOR_BYTES), lengthBytes: fc.nat(9 * SECTOR_BYTES) })
  fc.assert(
    fc.property(fc.array(area), fc.integer({ min: 1, max: 40 }), (areas, sectors) => {
      const merged = mergeExtents(areas, sectors * SECTOR_BYTES)
      assert.equal([...sectorsOf(merged, sectors)].sort(), [...sectorsOf(areas, sectors)].sort())
      for (const [at, { offsetBytes, lengthBytes }] of merged.entries()) {
        assert.is(offsetBytes % SECTOR_BYTES, 0)
        assert.ok(lengthBytes > 0 && lengthBytes % SECTOR_BYTES === 0)
        assert.ok(offsetBytes + lengthBytes <= sectors * SECTOR_BYTES)
        const next = merged[at + 1]
        assert.ok(next === undefined || next.offsetBytes > offsetBytes + lengthBytes)
      }
    }),
  )
})

test('the whole disk is asked about, part after part', async () => {
  const asked: number[] = []
  const found = await collectChangedAreas(10_240, async (startBytes) => {
    asked.push(startBytes)
    return { startBytes, lengthBytes: 4096, areas: extents([[startBytes + 3584, 512]]) }
  })
  assert.equal(asked, [0, 4096, 8192])
  assert.equal(
    found,
    extents([
      [3584, 512],
      [7680, 512],
    ]),
  )
})

test('an area that begins in one answer and continues in the next is one area', async () => {
  const parts = [extents([[3072, 1024]]), extents([[4096, 512]])]
  const found = await collectChangedAreas(8192, async (startBytes) => {
    return { startBytes, lengthBytes: 4096, areas: parts[startBytes / 4096]! }
  })
  assert.equal(found, extents([[3072, 1536]]))
})

const CONTRADICTIONS: Record<string, { startBytes: number; lengthBytes: number; areas: Extent[] }> = {
  'covers nothing': { startBytes: 0, lengthBytes: 0, areas: [] },
  'runs backwards': { startBytes: 0, lengthBytes: -1, areas: [] },
  'leaves a gap': { startBytes: 512, lengthBytes: 4096, areas: [] },
  'starts before the disk': { startBytes: 0, lengthBytes: 4096, areas: extents([[-512, 512]]) },
  'has an area of less than nothing': { startBytes: 0, lengthBytes: 4096, areas: extents([[0, -512]]) },
}
for (const [what, part] of Object.entries(CONTRADICTIONS)) {
  test(`an answer that ${what} is not believed`, async () => {
    const outcome = await collectChangedAreas(4096, async () => part).catch((error: unknown) => error)
    assert.instance(outcome, TerminalError)
    assert.is((outcome as TerminalError).reason, 'ChangeTrackingLost')
  })
}

test('answers that creep are given up', async () => {
  const outcome = await collectChangedAreas(2 ** 40, async (startBytes) => {
    return { startBytes, lengthBytes: 1, areas: [] }
  }).catch((error: unknown) => error)
  assert.is((outcome as TerminalError).reason, 'ChangeTrackingLost')
})

test('a file share is distinguished from a disk', () => {
  assert.throws(() => checkId('file:91ff4aef-72f6-41e6', 'volume'), /vSAN file share/)
})

test('a change id is 16 bytes and an epoch', () => {
  const good = '52 05 a2 ce 6d 6d c9 59-d3 2e ad 19 e3 96 73 6d/5'
  assert.equal(parseChangeId(good), { tracking: good.slice(0, -2), epoch: 5 })
  assert.equal(parseChangeId(good.toUpperCase()), { tracking: good.slice(0, -2), epoch: 5 })
  for (const bad of ['', '*', good.slice(1), `${good} `, good.replace('/', ''), good.replace('-', ' '), `${good}/1`]) {
    assert.is(parseChangeId(bad), undefined, bad)
  }
})

test.run()
