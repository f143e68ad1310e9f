// A disk in a sparse file. It knows only the file's name and size; the creator may say which runs are allocated.

import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { SECTOR_BYTES } from '#shared/kernel/units.ts'
import type { Disk, Extent } from '#shared/ports/disk.ts'

/** Makes a file of `capacityBytes` that reads as zeros and takes no space. */
export function createDiskFile(path: string, capacityBytes: number): void {
  const file = openSync(path, 'wx')
  try {
    ftruncateSync(file, capacityBytes)
  } finally {
    closeSync(file)
  }
}

type FileDiskOptions = {
  writable: boolean
  /** Allocated runs, ascending; without them `allocated` returns undefined (Node has no SEEK_HOLE). */
  extents?: readonly Extent[] | undefined
}

export class FileDisk implements Disk {
  readonly capacityBytes: number
  readonly #file: number
  readonly #options: FileDiskOptions
  #open = true

  constructor(path: string, options: FileDiskOptions) {
    this.#file = openSync(path, options.writable ? 'r+' : 'r')
    this.#options = options
    // The file may end inside its last sector; bytes beyond the end read as zeros.
    this.capacityBytes = Math.ceil(fstatSync(this.#file).size / SECTOR_BYTES) * SECTOR_BYTES
  }

  read(offsetBytes: number, into: Uint8Array): void {
    this.#check(offsetBytes, into.length)
    for (let done = 0; done < into.length; ) {
      const got = readSync(this.#file, into, done, into.length - done, offsetBytes + done)
      if (got === 0) {
        into.fill(0, done)
        return
      }
      done += got
    }
  }

  write(offsetBytes: number, from: Uint8Array): void {
    this.#check(offsetBytes, from.length)
    for (let done = 0; done < from.length; ) {
      done += writeSync(this.#file, from, done, from.length - done, offsetBytes + done)
    }
  }

  flush(): void {
    this.#check(0, 0)
    fdatasyncSync(this.#file)
  }

  allocated(offsetBytes: number, lengthBytes: number): Extent[] | undefined {
    this.#check(offsetBytes, lengthBytes)
    if (this.#options.extents === undefined) return undefined
    const endBytes = offsetBytes + lengthBytes
    const runs: Extent[] = []
    for (const run of this.#options.extents) {
      const from = Math.max(offsetBytes, run.offsetBytes)
      const to = Math.min(endBytes, run.offsetBytes + run.lengthBytes)
      if (from < to) runs.push({ offsetBytes: from, lengthBytes: to - from })
    }
    return runs
  }

  /** Idempotent: the file descriptor of a closed file may already belong to another file. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    closeSync(this.#file)
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
}
