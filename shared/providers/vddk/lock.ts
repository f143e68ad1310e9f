// What the threads of one process share about VDDK: a mutex, and the number of connections to each disk.

import { createHash } from 'node:crypto'
import { threadId } from 'node:worker_threads'
import { RetryableError } from '#shared/kernel/errors.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'

const FREE = 0
const HELD = 1
const HELD_WITH_WAITERS = 2

const STATE = 0
const OWNER = 1
const FIRST_SLOT = 2
/**
 * Two words of the disk's hash, and its number of connections. There are more slots than disks that VDDK can have open at once, which is
 * 50 for each host (docs/development/vddk.md#sizes-and-limits).
 */
const SLOT_WORDS = 3
const SLOTS = 256

/** A Connect or Open takes seconds; a thread that holds the lock for this long has died with it. */
const DEFAULT_PATIENCE_MS = 5 * MINUTE_MS

/** The main thread makes one and passes it to every worker (workerData): SharedArrayBuffers are shared, not copied. */
export function createVddkLock(): SharedArrayBuffer {
  return new SharedArrayBuffer((FIRST_SLOT + SLOTS * SLOT_WORDS) * Int32Array.BYTES_PER_ELEMENT)
}

/**
 * Connect, Open, Close and Disconnect must not overlap in a process (docs/development/vddk.md#threads). The count tells which thread is
 * the first and which is the last at a disk: PrepareForAccess and EndAccess apply to all handles of the process together.
 */
export class VddkLock {
  readonly #words: Int32Array
  readonly #patienceMs: number

  constructor(shared: SharedArrayBuffer, patienceMs = DEFAULT_PATIENCE_MS) {
    this.#words = new Int32Array(shared)
    this.#patienceMs = patienceMs
  }

  /** Not reentrant. `work` is synchronous, as all calls into VDDK are. */
  run<T>(work: () => T): T {
    this.#acquire()
    try {
      return work()
    } finally {
      this.#release()
    }
  }

  /** True for this process's first connection to the disk. Only inside `run`. */
  enter(disk: string): boolean {
    const slot = this.#slotOf(disk)
    return Atomics.add(this.#words, slot + 2, 1) === 0
  }

  /** True for the last one. Only inside `run`. */
  leave(disk: string): boolean {
    const slot = this.#slotOf(disk)
    return Atomics.sub(this.#words, slot + 2, 1) === 1
  }

  /** Whether this process has connections to the disk. Only inside `run`. */
  isOpen(disk: string): boolean {
    return Atomics.load(this.#words, this.#slotOf(disk) + 2) > 0
  }

  /** The usual three-state futex mutex: it wakes a thread only if one waits. */
  #acquire(): void {
    const words = this.#words
    if (Atomics.compareExchange(words, STATE, FREE, HELD) !== FREE) {
      while (Atomics.exchange(words, STATE, HELD_WITH_WAITERS) !== FREE) this.#wait()
    }
    Atomics.store(words, OWNER, threadId)
  }

  #wait(): void {
    if (Atomics.wait(this.#words, STATE, HELD_WITH_WAITERS, this.#patienceMs) !== 'timed-out') return
    const owner = Atomics.load(this.#words, OWNER)
    throw new RetryableError(
      'VddkStuck',
      `thread ${owner} has been in Connect, Open or Close of VDDK for ${this.#patienceMs} ms`,
    )
  }

  #release(): void {
    if (Atomics.exchange(this.#words, STATE, FREE) === HELD_WITH_WAITERS) Atomics.notify(this.#words, STATE, 1)
  }

  /** The disk's slot, or a free slot that the disk gets. */
  #slotOf(disk: string): number {
    const hash = createHash('sha256').update(disk).digest()
    const [high, low] = [hash.readInt32LE(0), hash.readInt32LE(4)]
    const words = this.#words
    let free: number | undefined
    for (let slot = FIRST_SLOT; slot < words.length; slot += SLOT_WORDS) {
      if (words[slot + 2] === 0) free ??= slot
      else if (words[slot] === high && words[slot + 1] === low) return slot
    }
    if (free === undefined) throw new RetryableError('VddkHostMemory', `${SLOTS} disks are open in this process`)
    words[free] = high
    words[free + 1] = low
    return free
  }
}
