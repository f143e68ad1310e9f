// Buffers for bodies, which callers return after use. Otherwise every answer of 16 MiB is new external memory, which makes V8 mark its
// heap again and again: reading 16 MiB objects then costs two and a half times the CPU.

import { KiB, MiB } from '#shared/kernel/units.ts'

/** Smaller buffers are left to the garbage collector. */
const MIN_BYTES = 256 * KiB
const STEP_BYTES = MiB

export class BodyBuffers {
  private readonly lent = new WeakSet<ArrayBufferLike>()
  private free: Buffer[] = []
  private freeBytes = 0
  private readonly keepBytes: number

  constructor(keepBytes: number) {
    this.keepBytes = keepBytes
  }

  take(bytes: number): Buffer {
    if (bytes < MIN_BYTES) return Buffer.allocUnsafeSlow(bytes)
    const found = this.free.findIndex((buffer) => buffer.length >= bytes && buffer.length <= 2 * bytes + STEP_BYTES)
    const buffer =
      found < 0 ? Buffer.allocUnsafeSlow(Math.ceil(bytes / STEP_BYTES) * STEP_BYTES) : this.removeFree(found)
    this.lent.add(buffer.buffer)
    return buffer.subarray(0, bytes)
  }

  /** Call it when nothing reads these bytes any more. Bytes that were not taken here, or were returned before, are ignored. */
  giveBack(bytes: Uint8Array): void {
    const whole = bytes.buffer
    if (!this.lent.delete(whole) || whole.byteLength === 0) return
    if (this.freeBytes + whole.byteLength > this.keepBytes) return
    this.free.push(Buffer.from(whole))
    this.freeBytes += whole.byteLength
  }

  private removeFree(index: number): Buffer {
    const [buffer] = this.free.splice(index, 1)
    if (buffer === undefined) throw new RangeError(`no free buffer ${index}`)
    this.freeBytes -= buffer.length
    return buffer
  }
}
