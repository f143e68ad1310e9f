// What a worker does for a download: decrypt, decompress, compare with the id, write. There is one for each open disk.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import type { Disk } from '#shared/ports/disk.ts'
import { countFreed } from '#shared/repository/core/freed-buffers.ts'
import { URGENT } from '#shared/repository/core/stopper.ts'
import { ChunkCodec } from '#shared/repository/format/compression.ts'
import { LocationTable } from '#shared/repository/format/location-table.ts'
import { PackReader } from '#shared/repository/format/pack.ts'
import { RepositoryKeys } from '#shared/repository/format/repository-keys.ts'
import type { FetchedPart, LaneSetup } from './lane.ts'

const ZERO_WRITE_BYTES = MiB

export class DownloadLane {
  readonly #disk: Disk
  readonly #setup: Pick<LaneSetup, 'chunkBytes' | 'capacityBytes'>
  readonly #keys: RepositoryKeys
  readonly #codec = new ChunkCodec()
  readonly #stop: Int32Array
  #zeros: Uint8Array | undefined

  constructor(disk: Disk, setup: Pick<LaneSetup, 'repositoryId' | 'master' | 'chunkBytes' | 'capacityBytes' | 'stop'>) {
    this.#disk = disk
    this.#setup = setup
    this.#keys = new RepositoryKeys(setup.repositoryId, setup.master)
    this.#stop = new Int32Array(setup.stop)
  }

  /** Bytes written to the disk: less than the whole part when the caller wants to stop at once. */
  write(part: FetchedPart): number {
    const reader = new PackReader(this.#keys, part.header, part.where, this.#codec)
    const blobs = LocationTable.decode(part.blobs)
    let written = 0
    let raw: Uint8Array = new Uint8Array()
    let decoded = -1
    for (let pair = 0; pair < part.targets.length && !this.#isUrgent(); pair += 2) {
      const [blob = 0, chunk = 0] = part.targets.subarray(pair, pair + 2)
      if (blob !== decoded) {
        raw = this.#decode(reader, blobs, blob, part)
        decoded = blob
      }
      this.#checkLength(chunk, raw.length, part.where)
      this.#disk.write(chunk * this.#setup.chunkBytes, raw)
      written += raw.length
    }
    return written
  }

  writeZeros(offsetBytes: number, lengthBytes: number): void {
    this.#zeros ??= new Uint8Array(ZERO_WRITE_BYTES)
    for (let done = 0; done < lengthBytes && !this.#isUrgent(); done += ZERO_WRITE_BYTES) {
      const length = Math.min(ZERO_WRITE_BYTES, lengthBytes - done)
      this.#disk.write(offsetBytes + done, this.#zeros.subarray(0, length))
    }
  }

  #isUrgent(): boolean {
    return Atomics.load(this.#stop, 0) === URGENT
  }

  #decode(reader: PackReader, blobs: LocationTable, index: number, part: FetchedPart): Uint8Array {
    const location = blobs.get(index)
    if (location === undefined) throw new Error(`blob ${index} of a fetched part is empty`)
    countFreed(location.storedBytes)
    const from = location.offset - part.offset
    return reader.open('chunk', location, part.bytes.subarray(from, from + location.storedBytes))
  }

  /** An intact chunk of another length would overwrite its neighbour. */
  #checkLength(chunk: number, length: number, where: string): void {
    const { chunkBytes, capacityBytes } = this.#setup
    const want = Math.min(chunkBytes, capacityBytes - chunk * chunkBytes)
    if (length === want) return
    throw new CorruptionError('PageCorrupt', `the map gives chunk ${chunk} ${length} bytes of ${where}, want ${want}`)
  }
}
