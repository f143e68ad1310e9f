// A sparse disk in memory: blocks are created when they are written. Several handles may share a disk.

import { KiB, SECTOR_BYTES } from '#shared/kernel/units.ts'
import type { Disk, Extent } from '#shared/ports/disk.ts'

/** Bytes of one disk, shared by its handles. */
export class MemoryDiskContent {
  readonly capacityBytes: number
  readonly blockBytes: number
  readonly blocks = new Map<number, Uint8Array>()

  constructor(capacityBytes: number, blockBytes = 64 * KiB) {
    if (capacityBytes % SECTOR_BYTES !== 0) throw new RangeError(`capacity ${capacityBytes} is not in whole sectors`)
    this.capacityBytes = capacityBytes
    this.blockBytes = blockBytes
  }

  /** A copy that later writes do not change, as a snapshot. */
  snapshot(): MemoryDiskContent {
    const copy = new MemoryDiskContent(this.capacityBytes, this.blockBytes)
    for (const [index, block] of this.blocks) copy.blocks.set(index, block.slice())
    return copy
  }

  /** Drops whole blocks, as a guest's discard does; they read as zeros and are no longer allocated. */
  discard(offsetBytes: number, lengthBytes: number): void {
    const first = Math.ceil(offsetBytes / this.blockBytes)
    const end = Math.floor((offsetBytes + lengthBytes) / this.blockBytes)
    for (let index = first; index < end; index++) this.blocks.delete(index)
  }
}

export class MemoryDisk implements Disk {
  readonly capacityBytes: number
  readonly #content: MemoryDiskContent
  readonly #tellsAllocation: boolean
  #open = true
  /** Bytes read so far: tests use it to show that nothing is read unnecessarily. */
  bytesRead = 0
  bytesWritten = 0

  constructor(content: MemoryDiskContent, options: { tellsAllocation?: boolean } = {}) {
    this.#content = content
    this.capacityBytes = content.capacityBytes
    this.#tellsAllocation = options.tellsAllocation ?? true
  }

  read(offsetBytes: number, into: Uint8Array): void {
    this.#check(offsetBytes, into.length)
    this.bytesRead += into.length
    this.#eachBlock(offsetBytes, into.length, (index, from, to, at) => {
      const block = this.#content.blocks.get(index)
      if (block === undefined) into.fill(0, at, at + to - from)
      else into.set(block.subarray(from, to), at)
    })
  }

  write(offsetBytes: number, from: Uint8Array): void {
    this.#check(offsetBytes, from.length)
    this.bytesWritten += from.length
    this.#eachBlock(offsetBytes, from.length, (index, start, end, at) => {
      let block = this.#content.blocks.get(index)
      if (block === undefined) {
        block = new Uint8Array(this.#content.blockBytes)
        this.#content.blocks.set(index, block)
      }
      block.set(from.subarray(at, at + end - start), start)
    })
  }

  flush(): void {
    this.#check(0, 0)
  }

  allocated(offsetBytes: number, lengthBytes: number): Extent[] | undefined {
    this.#check(offsetBytes, lengthBytes)
    if (!this.#tellsAllocation) return undefined
    const runs: Extent[] = []
    const { blockBytes, blocks } = this.#content
    const touched = [...blocks.keys()].sort((a, b) => a - b)
    for (const index of touched) {
      const from = Math.max(offsetBytes, index * blockBytes)
      const to = Math.min(offsetBytes + lengthBytes, (index + 1) * blockBytes, this.capacityBytes)
      if (from >= to) continue
      const last = runs.at(-1)
      if (last !== undefined && last.offsetBytes + last.lengthBytes === from) last.lengthBytes += to - from
      else runs.push({ offsetBytes: from, lengthBytes: to - from })
    }
    return runs
  }

  close(): void {
    this.#open = false
  }

  #check(offsetBytes: number, lengthBytes: number): void {
    if (!this.#open) throw new Error('the disk is closed')
    if (offsetBytes % SECTOR_BYTES !== 0 || lengthBytes % SECTOR_BYTES !== 0) {
      throw new RangeError(`${lengthBytes} bytes at ${offsetBytes} are not whole sectors`)
    }
    if (offsetBytes < 0 || offsetBytes + lengthBytes > this.capacityBytes) {
      throw new RangeError(`${lengthBytes} bytes at ${offsetBytes} pass the end of the disk at ${this.capacityBytes}`)
    }
  }

  #eachBlock(
    offsetBytes: number,
    lengthBytes: number,
    visit: (index: number, from: number, to: number, at: number) => void,
  ): void {
    const { blockBytes } = this.#content
    for (let at = 0; at < lengthBytes; ) {
      const from = (offsetBytes + at) % blockBytes
      const to = Math.min(blockBytes, from + lengthBytes - at)
      visit(Math.floor((offsetBytes + at) / blockBytes), from, to, at)
      at += to - from
    }
  }
}
