// A First Class Disk, or a snapshot of one, behind the port of shared/ports/disk.ts.

import { TerminalError } from '#shared/kernel/errors.ts'
import { MiB, SECTOR_BYTES } from '#shared/kernel/units.ts'
import type { Disk, Extent } from '#shared/ports/disk.ts'
import { allocatedExtents, canTellAllocated } from './allocated.ts'
import { codeOf, VIX_OK } from './errors.ts'
import { check, type VddkLibrary } from './library.ts'
import { type VddkDiskOptions, VddkSession } from './session.ts'
import type { VixResult } from './signatures.ts'

export type { VddkDiskOptions } from './session.ts'

/** VDDK sends a request as one message; VMware recommends at most 2 MB (docs/development/vddk.md#sizes-and-limits). */
const REQUEST_BYTES = MiB

/**
 * Opens a disk in the calling thread, which owns it from then on; the main thread has started the library (`initVddk`). Several threads
 * may read one snapshot, each with its own handle. A disk that is open for writing is locked.
 */
export function openVddkDisk(options: VddkDiskOptions): Disk & { readonly transport: string } {
  if (options.writable && options.snapshotId !== undefined) {
    throw new TerminalError(
      'SnapshotReadOnly',
      `disk ${options.fcdId}: snapshot ${options.snapshotId} cannot be written`,
    )
  }
  return new VddkDisk(options)
}

type Transfer = (handle: bigint, startSector: number, sectors: number, buffer: Uint8Array) => VixResult

class VddkDisk implements Disk {
  readonly capacityBytes: number
  readonly transport: string
  readonly #library: VddkLibrary
  readonly #writable: boolean
  readonly #session: VddkSession
  #open = true
  #tellsAllocated: boolean | undefined

  constructor(options: VddkDiskOptions) {
    this.#library = options.library
    this.#writable = options.writable
    this.#session = new VddkSession(options)
    this.capacityBytes = this.#session.capacityBytes
    this.transport = this.#session.transport
  }

  read(offsetBytes: number, into: Uint8Array): void {
    this.#transfer('Read', this.#library.functions.read, offsetBytes, into)
  }

  write(offsetBytes: number, from: Uint8Array): void {
    this.#transfer('Write', this.#library.functions.write, offsetBytes, from)
  }

  flush(): void {
    this.#mustBeOpen()
    check(this.#library, 'Flush', this.#library.functions.flush(this.#session.handle), this.#session.where())
  }

  allocated(offsetBytes: number, lengthBytes: number): Extent[] | undefined {
    this.#checkRange(offsetBytes, lengthBytes)
    const { handle, capacityBytes } = this.#session
    const source = { library: this.#library, handle, capacityBytes, where: this.#session.where() }
    this.#tellsAllocated ??= canTellAllocated(source)
    return this.#tellsAllocated ? allocatedExtents(source, offsetBytes, lengthBytes) : undefined
  }

  /** Idempotent. A failed close of a disk open for writing is an error; a disk open for reading cannot lose anything. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    const failure = this.#session.end()
    if (failure !== undefined && this.#writable) throw failure
  }

  #transfer(call: string, transfer: Transfer, offsetBytes: number, buffer: Uint8Array): void {
    this.#checkRange(offsetBytes, buffer.length)
    for (let done = 0; done < buffer.length; done += REQUEST_BYTES) {
      const part = buffer.subarray(done, done + REQUEST_BYTES)
      const start = offsetBytes + done
      const result = transfer(this.#session.handle, start / SECTOR_BYTES, part.length / SECTOR_BYTES, part)
      if (codeOf(result) !== VIX_OK) this.#fail(call, result, start, part.length)
    }
  }

  #fail(call: string, result: VixResult, offsetBytes: number, lengthBytes: number): void {
    check(this.#library, call, result, `of ${lengthBytes} bytes at ${offsetBytes} of ${this.#session.where()}`)
  }

  /** koffi would silently turn -1 into 2^64-1 and 1.5 into 1 (docs/development/vddk.md#koffi). */
  #checkRange(offsetBytes: number, lengthBytes: number): void {
    this.#mustBeOpen()
    const aligned = offsetBytes % SECTOR_BYTES === 0 && lengthBytes % SECTOR_BYTES === 0
    if (aligned && offsetBytes >= 0 && lengthBytes >= 0 && offsetBytes + lengthBytes <= this.capacityBytes) return
    throw new RangeError(
      `${lengthBytes} bytes at ${offsetBytes} of a disk of ${this.capacityBytes}: whole sectors inside it`,
    )
  }

  #mustBeOpen(): void {
    if (!this.#open) throw new Error(`${this.#session.where()} is closed`)
  }
}
