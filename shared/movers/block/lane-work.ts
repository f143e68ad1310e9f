// The work of one lane, with or without a thread around it: an open disk and what uploads and downloads do with it.

import { CapacityError } from '#shared/kernel/errors.ts'
import type { Disk, Extent } from '#shared/ports/disk.ts'
import { DownloadLane } from './download-lane.ts'
import type { FetchedPart, FullPack, LaneSetup, ScanResult } from './lane.ts'
import { UploadLane } from './upload-lane.ts'

export class LaneWork {
  readonly #disk: Disk
  readonly #setup: LaneSetup
  readonly #onPack: (pack: FullPack) => void
  #upload: UploadLane | undefined
  #download: DownloadLane | undefined

  constructor(disk: Disk, setup: LaneSetup, onPack: (pack: FullPack) => void) {
    this.#disk = disk
    this.#setup = setup
    this.#onPack = onPack
    if (disk.capacityBytes < setup.capacityBytes) throw this.#mismatch()
  }

  returnBuffer(buffer: ArrayBuffer): void {
    this.#uploadLane().returnBuffer(buffer)
  }

  allocated(offsetBytes: number, lengthBytes: number): Extent[] | undefined {
    return this.#disk.allocated(offsetBytes, lengthBytes)
  }

  scan(batch: number, chunks: Uint32Array): ScanResult {
    return this.#uploadLane().scan(batch, chunks)
  }

  store(batch: number, positions: Uint32Array): Promise<void> {
    return this.#uploadLane().store(batch, positions)
  }

  flushPack(): void {
    this.#upload?.flushPack()
  }

  write(part: FetchedPart): number {
    return this.#downloadLane().write(part)
  }

  writeZeros(offsetBytes: number, lengthBytes: number): void {
    this.#downloadLane().writeZeros(offsetBytes, lengthBytes)
  }

  flushDisk(): void {
    this.#disk.flush()
  }

  #mismatch(): CapacityError {
    const sizes = `the disk has ${this.#disk.capacityBytes} bytes, the backup is of ${this.#setup.capacityBytes}`
    return new CapacityError('CapacityMismatch', sizes, { diskBytes: this.#disk.capacityBytes })
  }

  /** A backup must cover the whole disk; a restore may go to a larger disk. */
  #uploadLane(): UploadLane {
    if (this.#upload === undefined) {
      if (this.#disk.capacityBytes !== this.#setup.capacityBytes) throw this.#mismatch()
      this.#upload = new UploadLane(this.#disk, this.#setup)
      this.#upload.onPack = this.#onPack
    }
    return this.#upload
  }

  #downloadLane(): DownloadLane {
    this.#download ??= new DownloadLane(this.#disk, this.#setup)
    return this.#download
  }
}
