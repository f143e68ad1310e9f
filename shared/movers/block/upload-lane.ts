// What a worker does for an upload: read, test for zeros, hash, compress, encrypt into packs. There is one for each open disk.

import { randomBytes } from 'node:crypto'
import { MiB } from '#shared/kernel/units.ts'
import type { Disk } from '#shared/ports/disk.ts'
import { countFreed } from '#shared/repository/core/freed-buffers.ts'
import { URGENT } from '#shared/repository/core/stopper.ts'
import { ChunkCodec } from '#shared/repository/format/compression.ts'
import { LocationTable } from '#shared/repository/format/location-table.ts'
import { PackBuilder, packBlob, packOverheadBytes } from '#shared/repository/format/pack.ts'
import { RepositoryKeys } from '#shared/repository/format/repository-keys.ts'
import { ID_BYTES } from '#shared/repository/format/version.ts'
import type { FullPack, LaneSetup, ScanResult } from './lane.ts'
import { isAllZero } from './zero-test.ts'

/** The size that VMware recommends for one VDDK request. */
const READ_BYTES = MiB
/** A setup whose packs cannot hold this many chunks is wrong. */
const LEAST_CHUNKS_PER_PACK = 1

type Batch = { bytes: Uint8Array; chunks: Uint32Array; ids: Buffer }

export class UploadLane {
  onPack: (pack: FullPack) => void = () => {}
  readonly #disk: Disk
  readonly #setup: LaneSetup
  readonly #keys: RepositoryKeys
  readonly #stop: Int32Array
  readonly #codec = new ChunkCodec()
  readonly #batches = new Map<number, Batch>()
  readonly #spareBatchBuffers: Uint8Array[] = []
  readonly #freeBuffers: ArrayBuffer[] = []
  #buffersMade = 0
  #wakeForBuffer: ((buffer: ArrayBuffer) => void) | undefined
  #pack: PackBuilder | undefined
  #packBuffer: ArrayBuffer | undefined
  #packChunks: number[] = []
  #hasLooked = false

  constructor(disk: Disk, setup: LaneSetup) {
    this.#disk = disk
    this.#setup = setup
    this.#keys = new RepositoryKeys(setup.repositoryId, setup.master)
    this.#stop = new Int32Array(setup.stop)
    const least = LEAST_CHUNKS_PER_PACK * setup.chunkBytes + packOverheadBytes(LEAST_CHUNKS_PER_PACK)
    if (setup.packBytes < least) throw new RangeError(`packs of ${setup.packBytes} bytes hold no chunk`)
  }

  scan(number: number, chunks: Uint32Array): ScanResult {
    const { chunkBytes } = this.#setup
    const bytes = this.#batchBuffer(chunks.length * chunkBytes)
    const ids = Buffer.alloc(chunks.length * ID_BYTES)
    let looked = 0
    let bytesRead = 0
    while (looked < chunks.length && this.#mayLook()) {
      const run = this.#runLength(chunks, looked)
      const first = chunks[looked] ?? 0
      const length = Math.min(run * chunkBytes, this.#setup.capacityBytes - first * chunkBytes)
      const into = bytes.subarray(looked * chunkBytes, looked * chunkBytes + length)
      this.#disk.read(first * chunkBytes, into)
      this.#hasLooked = true
      bytesRead += length
      for (let at = 0; at < length; at += chunkBytes) {
        const chunk = into.subarray(at, Math.min(at + chunkBytes, length))
        if (!isAllZero(chunk)) ids.set(this.#keys.chunkId(chunk), looked * ID_BYTES)
        looked++
      }
    }
    this.#batches.set(number, { bytes, chunks, ids })
    return { ids: Uint8Array.from(ids.subarray(0, looked * ID_BYTES)), bytesRead }
  }

  /** The first run is read even when the slice is over: otherwise the next slice could also end without progress. */
  #mayLook(): boolean {
    const stop = Atomics.load(this.#stop, 0)
    return stop === 0 || (stop !== URGENT && !this.#hasLooked)
  }

  async store(number: number, positions: Uint32Array): Promise<void> {
    const batch = this.#batches.get(number)
    if (batch === undefined) throw new Error(`batch ${number} was never scanned`)
    for (const position of positions) await this.#storeChunk(batch, position)
    this.#batches.delete(number)
    this.#spareBatchBuffers.push(batch.bytes)
  }

  flushPack(): void {
    const pack = this.#pack
    const buffer = this.#packBuffer
    if (pack === undefined || buffer === undefined) return
    const { length } = pack.finish()
    const blobs = LocationTable.from(pack.blobs).encode()
    const chunks = Uint32Array.from(this.#packChunks)
    this.#pack = undefined
    this.#packBuffer = undefined
    this.#packChunks = []
    this.onPack({ ref: pack.ref, buffer, bytes: length, chunks, blobs: Uint8Array.from(blobs) })
  }

  returnBuffer(buffer: ArrayBuffer): void {
    const wake = this.#wakeForBuffer
    this.#wakeForBuffer = undefined
    if (wake === undefined) this.#freeBuffers.push(buffer)
    else wake(buffer)
  }

  async #storeChunk({ bytes, chunks, ids }: Batch, position: number): Promise<void> {
    const { chunkBytes, capacityBytes } = this.#setup
    const chunk = chunks[position] ?? 0
    const length = Math.min(chunkBytes, capacityBytes - chunk * chunkBytes)
    const blob = packBlob(bytes.subarray(position * chunkBytes, position * chunkBytes + length), this.#codec)
    const id = ids.subarray(position * ID_BYTES, (position + 1) * ID_BYTES)
    this.#pack ??= await this.#beginPack()
    if (!this.#pack.append('chunk', id, blob)) {
      this.flushPack()
      this.#pack = await this.#beginPack()
      if (!this.#pack.append('chunk', id, blob)) throw new RangeError(`chunk of ${length} bytes fits no pack`)
    }
    this.#packChunks.push(chunk)
    countFreed(blob.bytes.length)
  }

  async #beginPack(): Promise<PackBuilder> {
    this.#packBuffer = await this.#nextBuffer()
    const ref = `${this.#setup.session}/${randomBytes(8).toString('hex')}`
    return new PackBuilder(this.#keys, ref, new Uint8Array(this.#packBuffer))
  }

  /** Back-pressure: the number of buffers is limited, and a buffer comes back once the store has its pack. */
  async #nextBuffer(): Promise<ArrayBuffer> {
    const free = this.#freeBuffers.pop()
    if (free !== undefined) return free
    if (this.#buffersMade < this.#setup.packBuffers) {
      this.#buffersMade++
      return new ArrayBuffer(this.#setup.packBytes)
    }
    return new Promise((resolve) => {
      this.#wakeForBuffer = resolve
    })
  }

  /** Number of neighbouring chunks that one read fetches. */
  #runLength(chunks: Uint32Array, from: number): number {
    const most = Math.max(1, Math.floor(READ_BYTES / this.#setup.chunkBytes))
    let run = 1
    while (run < most && from + run < chunks.length && chunks[from + run] === (chunks[from] ?? 0) + run) run++
    return run
  }

  #batchBuffer(bytes: number): Uint8Array {
    const spare = this.#spareBatchBuffers.pop()
    return spare !== undefined && spare.length >= bytes ? spare : new Uint8Array(bytes)
  }
}
