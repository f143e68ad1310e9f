// The contract of the port Disk, for every adapter: memory, file, VDDK.

import { createHash } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB, MiB, SECTOR_BYTES } from '#shared/kernel/units.ts'
import type { Disk } from '#shared/ports/disk.ts'

/**
 * `open`: returns one more handle on the same empty disk of `capacityBytes`. `tellsAllocation`: the disk implements `allocated`.
 */
type DiskUnderTest = {
  capacityBytes: number
  open: (writable: boolean) => Disk
  tellsAllocation: boolean
  stop: () => Promise<void>
}

/** A capacity that is no multiple of any chunk size. */
export const SUITE_CAPACITY_BYTES = 5 * MiB + 3 * SECTOR_BYTES

export function diskSuite(title: string, start: () => Promise<DiskUnderTest>): void {
  const test = suite(title)
  let under: DiskUnderTest

  test.before(async () => {
    under = await start()
  })
  test.after(async () => {
    await under.stop()
  })

  const withDisk = (writable: boolean, act: (disk: Disk) => void): void => {
    const disk = under.open(writable)
    try {
      act(disk)
    } finally {
      disk.close()
    }
  }

  test('an empty disk has its capacity and reads as zeros', () => {
    withDisk(false, (disk) => {
      assert.is(disk.capacityBytes, under.capacityBytes)
      const into = Buffer.alloc(64 * KiB, 0xff)
      disk.read(disk.capacityBytes - into.length, into)
      assert.ok(into.equals(Buffer.alloc(into.length)))
    })
  })

  test('what was written and flushed is read by the same handle and by a later one', () => {
    const written = noise(200 * KiB)
    const read = Buffer.alloc(written.length)
    withDisk(true, (disk) => {
      disk.write(3 * SECTOR_BYTES, written)
      disk.flush()
      disk.read(3 * SECTOR_BYTES, read)
      assert.ok(read.equals(written))
    })
    read.fill(0)
    withDisk(false, (disk) => disk.read(3 * SECTOR_BYTES, read))
    assert.ok(read.equals(written))
  })

  test('the last sector can be written and read', () => {
    const at = under.capacityBytes - SECTOR_BYTES
    const sector = noise(SECTOR_BYTES)
    const read = Buffer.alloc(SECTOR_BYTES)
    withDisk(true, (disk) => {
      disk.write(at, sector)
      disk.read(at, read)
    })
    assert.ok(read.equals(sector))
  })

  test('requests larger than one VDDK request are carried out whole', () => {
    const written = noise(3 * MiB)
    const read = Buffer.alloc(written.length)
    withDisk(true, (disk) => {
      disk.write(MiB, written)
      disk.read(MiB, read)
    })
    assert.ok(read.equals(written))
  })

  test('two handles read at the same time', () => {
    const [first, second] = [under.open(false), under.open(false)]
    try {
      const [a, b] = [Buffer.alloc(MiB), Buffer.alloc(MiB)]
      first.read(MiB, a)
      second.read(MiB, b)
      assert.ok(a.equals(b))
    } finally {
      first.close()
      second.close()
    }
  })

  test('what is not in whole sectors inside the disk is refused', () => {
    withDisk(true, (disk) => {
      const sector = Buffer.alloc(SECTOR_BYTES)
      assert.throws(() => disk.read(1, sector))
      assert.throws(() => disk.read(0, Buffer.alloc(100)))
      assert.throws(() => disk.read(-SECTOR_BYTES, sector))
      assert.throws(() => disk.read(disk.capacityBytes, sector))
      assert.throws(() => disk.write(disk.capacityBytes - SECTOR_BYTES, Buffer.alloc(2 * SECTOR_BYTES)))
    })
  })

  test('allocated runs cover all that was written, are clipped, in order and apart', () => {
    withDisk(false, (disk) => {
      const runs = disk.allocated(0, disk.capacityBytes)
      assert.is(runs !== undefined, under.tellsAllocation)
      if (runs === undefined) return
      let end = -1
      for (const run of runs) {
        assert.ok(run.offsetBytes > end && run.lengthBytes > 0)
        end = run.offsetBytes + run.lengthBytes
      }
      assert.ok(end <= disk.capacityBytes)
      const covers = (at: number) => runs.some((run) => run.offsetBytes <= at && at < run.offsetBytes + run.lengthBytes)
      for (const at of [3 * SECTOR_BYTES, MiB, 3 * MiB, disk.capacityBytes - 1]) assert.ok(covers(at), `${at}`)
      const part = disk.allocated(2 * MiB, MiB) ?? []
      assert.equal(part, [{ offsetBytes: 2 * MiB, lengthBytes: MiB }])
    })
  })

  test('a closed disk does nothing more', () => {
    const disk = under.open(false)
    disk.close()
    assert.throws(() => disk.read(0, Buffer.alloc(SECTOR_BYTES)))
  })

  test.run()
}

/** Bytes without a pattern, always the same. */
export function noise(bytes: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(bytes / 32) }, (_, n) => createHash('sha256').update(`${n}`).digest())
  return Buffer.concat(blocks).subarray(0, bytes)
}
