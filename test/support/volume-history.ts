// Volumes with a history: random writes and discards between backups, and the areas that really changed.

import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { SECTOR_BYTES } from '#shared/kernel/units.ts'
import type { Extent } from '#shared/ports/disk.ts'
import { MemoryDisk, type MemoryDiskContent } from '#shared/providers/memory/disk.ts'

/** `fill` below 4: a repeated byte (0: zeros), so that equal chunks occur; other values are noise, different for each value. */
type Change = { kind: 'write' | 'discard'; sector: number; sectors: number; fill: number }

export function changes(sectors: number, most: number): fc.Arbitrary<Change[]> {
  return fc.array(
    fc.record({
      kind: fc.constantFrom('write', 'write', 'write', 'discard'),
      sector: fc.nat(sectors - 1),
      sectors: fc.integer({ min: 1, max: Math.ceil(sectors / 3) }),
      fill: fc.nat(40),
    }),
    { maxLength: most },
  ) as fc.Arbitrary<Change[]>
}

/** Applies the changes; returns the changed areas, ascending and possibly overlapping, as a vCenter would. */
export function applyChanges(content: MemoryDiskContent, list: readonly Change[]): Extent[] {
  const disk = new MemoryDisk(content)
  const areas: Extent[] = []
  for (const { kind, sector, sectors, fill } of list) {
    const offsetBytes = sector * SECTOR_BYTES
    const lengthBytes = Math.min(sectors * SECTOR_BYTES, content.capacityBytes - offsetBytes)
    if (lengthBytes <= 0) continue
    if (kind === 'discard') content.discard(offsetBytes, lengthBytes)
    else disk.write(offsetBytes, filling(fill, lengthBytes))
    areas.push({ offsetBytes, lengthBytes })
  }
  return areas.sort((a, b) => a.offsetBytes - b.offsetBytes)
}

/** Noise of each kind, in the longest size that was needed so far. */
const noises = new Map<number, Buffer>()

function filling(fill: number, lengthBytes: number): Buffer {
  if (fill < 4) return Buffer.alloc(lengthBytes, fill)
  const known = noises.get(fill)
  if (known !== undefined && known.length >= lengthBytes) return known.subarray(0, lengthBytes)
  const bytes = Buffer.alloc(lengthBytes)
  for (let at = 0; at < lengthBytes; at += 32) {
    createHash('md5').update(`${fill}/${at}`).digest().copy(bytes, at)
  }
  noises.set(fill, bytes)
  return bytes
}
