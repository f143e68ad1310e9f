// The areas that VDDK reports as allocated decide what counts as zero. Its runs may come in any order, overlap, or pass the end of the disk:
// no byte that one of them names may be left out.

import * as fc from 'fast-check'
import koffi from 'koffi'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB, SECTOR_BYTES } from '#shared/kernel/units.ts'
import { allocatedExtents } from '#shared/providers/vddk/allocated.ts'
import type { VddkLibrary } from '#shared/providers/vddk/library.ts'

const test = suite('VDDK: allocated areas')
const CAPACITY_MIB = 64
const SECTORS = MiB / SECTOR_BYTES
type Run = [fromMib: number, mib: number]

/** A library whose one disk always answers with these runs; `count`: how many it says they are. */
function libraryOf(runs: readonly Run[], count = runs.length): VddkLibrary {
  const words = new BigUint64Array(1 + 2 * runs.length)
  new DataView(words.buffer).setUint32(0, count, true)
  for (const [index, [from, length]] of runs.entries()) {
    words[1 + 2 * index] = BigInt(from * SECTORS)
    words[2 + 2 * index] = BigInt(length * SECTORS)
  }
  const functions = {
    queryAllocatedBlocks: (_handle: bigint, _start: number, _sectors: number, _chunk: number, out: [bigint]) => {
      out[0] = koffi.address(words)
      return 0n
    },
    freeBlockList: () => {},
  }
  return { functions } as unknown as VddkLibrary
}

const extentsOf = (runs: readonly Run[], count?: number) =>
  allocatedExtents(
    { library: libraryOf(runs, count), handle: 1n, capacityBytes: CAPACITY_MIB * MiB, where: 'disk' },
    0,
    CAPACITY_MIB * MiB,
  )
const covered = (extents: { offsetBytes: number; lengthBytes: number }[], mib: number) =>
  extents.some(
    ({ offsetBytes, lengthBytes }) => offsetBytes <= mib * MiB && offsetBytes + lengthBytes >= (mib + 1) * MiB,
  )

test('a run inside the one before does not shorten it', () => {
  assert.equal(
    extentsOf([
      [0, 8],
      [2, 1],
    ]),
    [{ offsetBytes: 0, lengthBytes: 8 * MiB }],
  )
})

test('runs in any order, overlapping and beyond the end, leave nothing out and come ascending', () => {
  const run = fc.tuple(fc.nat(CAPACITY_MIB + 4), fc.integer({ min: 0, max: 20 }))
  fc.assert(
    fc.property(fc.array(run, { maxLength: 20 }), (runs) => {
      const extents = extentsOf(runs)!
      for (let mib = 0; mib < CAPACITY_MIB; mib++) {
        const isNamed = runs.some(([from, length]) => from <= mib && mib < from + length)
        assert.is(covered(extents, mib), isNamed, `MiB ${mib} of ${JSON.stringify(runs)}`)
      }
      let end = -1
      for (const { offsetBytes, lengthBytes } of extents) {
        assert.ok(offsetBytes > end && lengthBytes > 0 && offsetBytes + lengthBytes <= CAPACITY_MIB * MiB)
        end = offsetBytes + lengthBytes
      }
    }),
  )
})

test('a list of more runs than the range has chunks is not believed: then everything is read', () => {
  assert.is(extentsOf([[0, 1]], 0xffff_ffff), undefined)
})

test.run()
