// Admits only so many bytes at a time, which bounds the memory of a restore.

export class ByteGate {
  #freeBytes: number
  readonly #mostBytes: number
  readonly #waiting: { bytes: number; go: () => void }[] = []

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes
    this.#freeBytes = mostBytes
  }

  /** Waits for its turn. A caller that asks for more than the whole gate gets all of it. Returns the share to give back. */
  async enter(bytes: number): Promise<number> {
    const share = Math.min(bytes, this.#mostBytes)
    if (this.#waiting.length > 0 || share > this.#freeBytes) {
      await new Promise<void>((go) => this.#waiting.push({ bytes: share, go }))
    } else {
      this.#freeBytes -= share
    }
    return share
  }

  leave(share: number): void {
    this.#freeBytes += share
    for (let next = this.#waiting[0]; next !== undefined && next.bytes <= this.#freeBytes; next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#freeBytes -= next.bytes
      next.go()
    }
  }
}
