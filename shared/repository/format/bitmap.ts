// One bit per item, least significant bit of byte 0 first: for instance which chunks to read, or which pages are finished.

export class Bitmap {
  readonly length: number
  readonly bytes: Buffer

  constructor(length: number, bytes: Buffer = Buffer.alloc(Math.ceil(length / 8))) {
    if (bytes.length !== Math.ceil(length / 8)) throw new RangeError(`${bytes.length} bytes for ${length} bits`)
    this.length = length
    this.bytes = bytes
  }

  has(index: number): boolean {
    return ((this.bytes[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0
  }

  add(index: number): void {
    this.bytes[index >>> 3] = (this.bytes[index >>> 3] ?? 0) | (1 << (index & 7))
  }

  remove(index: number): void {
    this.bytes[index >>> 3] = (this.bytes[index >>> 3] ?? 0) & ~(1 << (index & 7))
  }

  /** Adds `from` up to, not including, `to`. */
  addRange(from: number, to: number): void {
    let index = from
    for (; index < to && (index & 7) !== 0; index++) this.add(index)
    if (to - index >= 8) {
      this.bytes.fill(0xff, index >>> 3, to >>> 3)
      index = to & ~7
    }
    for (; index < to; index++) this.add(index)
  }

  /** The first member at or after `from`; -1: none before `to`. */
  next(from: number, to = this.length): number {
    for (let index = from; index < to; index++) {
      if ((index & 7) === 0) {
        while (index < to && this.bytes[index >>> 3] === 0) index += 8
        if (index >= to) return -1
      }
      if (this.has(index)) return index
    }
    return -1
  }

  count(from = 0, to = this.length): number {
    let count = 0
    for (let index = this.next(from, to); index !== -1; index = this.next(index + 1, to)) count++
    return count
  }
}
