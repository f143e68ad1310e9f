// The chunks that this backup added, on their way into its index run. Full segments go into packs.

import { encodeSegment, SEGMENT_ENTRIES } from '#shared/repository/format/index-run.ts'
import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'

export class NewChunks {
  /** Segments that are durable. */
  readonly segments: BlobLocation[] = []
  /** Full tables that are on their way into a pack. */
  readonly #leaving = new Set<LocationTable>()
  #table = new LocationTable(SEGMENT_ENTRIES)
  #count = 0

  /** Returns the table when this entry filled it: the caller stores it as a segment and calls `segmentStored`. */
  add(location: BlobLocation): LocationTable | undefined {
    this.#table.set(this.#count++, location)
    if (this.#count < this.#table.length) return undefined
    const full = this.#table
    this.#leaving.add(full)
    this.#table = new LocationTable(SEGMENT_ENTRIES)
    this.#count = 0
    return full
  }

  /**
   * Adds the entries of a checkpoint. There may be more than a segment of them: they stay in one table until the index run is written.
   */
  addAll(table: LocationTable): void {
    for (let index = 0; index < table.length; index++) {
      const location = table.get(index)
      if (location === undefined) continue
      if (this.#count === this.#table.length) this.#table = grown(this.#table)
      this.#table.set(this.#count++, location)
    }
  }

  encodeSegment(table: LocationTable): Buffer {
    return encodeSegment(table, table.length)
  }

  segmentStored(table: LocationTable, location: BlobLocation): void {
    this.#leaving.delete(table)
    this.segments.push(location)
  }

  /** Everything that is not in a durable segment, sorted. */
  encodeUnsegmented(): Buffer {
    if (this.#leaving.size === 0) return encodeSegment(this.#table, this.#count)
    const room = [...this.#leaving].reduce((sum, table) => sum + table.length, this.#count)
    const all = new LocationTable(room)
    let count = 0
    for (const table of [...this.#leaving, this.#table]) {
      for (let index = 0; index < table.length; index++) if (!table.isEmpty(index)) all.copy(count++, table, index)
    }
    return encodeSegment(all, count)
  }
}

function grown(table: LocationTable): LocationTable {
  const larger = new LocationTable(table.length * 2)
  for (let index = 0; index < table.length; index++) larger.copy(index, table, index)
  return larger
}
