// A lane in a worker thread: calls go out as messages, and answers come back in the same order.

import { Worker } from 'node:worker_threads'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { FetchedPart, FullPack, Lane, LaneSetup, ScanResult } from '#shared/movers/block/lane.ts'
import type { Extent } from '#shared/ports/disk.ts'
import type { FromWorker, LaneAnswer, LaneOrder, ToWorker, WriteAnswer } from './protocol.ts'
import type { WorkerBirth } from './providers.ts'
import { fromWire } from './wire-error.ts'

type Waiting = { resolve: (value: LaneAnswer) => void; reject: (error: Error) => void }

/** In the same folder as this file, as source or as bundle. */
const WORKER_FILE = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './mover-worker.mjs', import.meta.url)

export class ThreadLane implements Lane {
  onPack: (pack: FullPack) => void = () => {}
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #spares: ArrayBuffer[] = []
  /** The largest part so far: spare buffers have this size. */
  #partBytes = 0
  #orders = 0
  #ended: Error | undefined

  constructor(birth: WorkerBirth) {
    this.#worker = new Worker(WORKER_FILE, { workerData: birth })
    this.#worker.on('message', (message: FromWorker) => this.#receive(message))
    // Out of memory, or a bug: the next slice gets new threads.
    this.#worker.on('error', (cause: Error) =>
      this.#end(new RetryableError('WorkerDied', `a worker ended: ${cause.message}`, { cause })),
    )
    this.#worker.on('exit', (code) => this.#end(new RetryableError('WorkerDied', `a worker ended with code ${code}`)))
  }

  returnBuffer(buffer: ArrayBuffer): void {
    this.#post({ type: 'buffer', buffer }, [buffer])
  }

  async begin(setup: LaneSetup): Promise<void> {
    await this.#order({ name: 'begin', setup })
  }

  async allocated(offsetBytes: number, lengthBytes: number): Promise<Extent[] | undefined> {
    return (await this.#order({ name: 'allocated', offsetBytes, lengthBytes })) as Extent[] | undefined
  }

  async scan(batch: number, chunks: Uint32Array): Promise<ScanResult> {
    return (await this.#order({ name: 'scan', batch, chunks })) as ScanResult
  }

  async store(batch: number, positions: Uint32Array): Promise<void> {
    await this.#order({ name: 'store', batch, positions })
  }

  async flushPack(): Promise<void> {
    await this.#order({ name: 'flushPack' })
  }

  /** Copies into memory that goes to the worker and comes back: fresh memory each time would cost more. */
  async write(part: FetchedPart, onTaken: () => void): Promise<number> {
    const { length } = part.bytes
    const found = this.#spares.findIndex((spare) => spare.byteLength >= length)
    const [buffer = new ArrayBuffer(Math.max(length, this.#partBytes))] =
      found === -1 ? [] : this.#spares.splice(found, 1)
    this.#partBytes = Math.max(length, this.#partBytes)
    const bytes = new Uint8Array(buffer, 0, length)
    bytes.set(part.bytes)
    onTaken()
    const answer = (await this.#order({ name: 'write', part: { ...part, bytes } }, [buffer])) as WriteAnswer
    if (answer.buffer.byteLength >= this.#partBytes) this.#spares.push(answer.buffer)
    return answer.written
  }

  async writeZeros(offsetBytes: number, lengthBytes: number): Promise<void> {
    await this.#order({ name: 'writeZeros', offsetBytes, lengthBytes })
  }

  async flushDisk(): Promise<void> {
    await this.#order({ name: 'flushDisk' })
  }

  /** Closes the disk and ends the thread. An error of the disk's close is thrown. */
  async close(): Promise<void> {
    try {
      await this.#order({ name: 'close' })
    } finally {
      await this.#worker.terminate()
    }
  }

  #order(order: LaneOrder, transfer: ArrayBuffer[] = []): Promise<LaneAnswer> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    const id = this.#orders++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#post({ type: 'order', id, order }, transfer)
    })
  }

  #post(message: ToWorker, transfer: ArrayBuffer[]): void {
    this.#worker.postMessage(message, transfer)
  }

  #receive(message: FromWorker): void {
    if (message.type === 'pack') {
      this.onPack(message.pack)
      return
    }
    const waiting = this.#waiting.get(message.id)
    this.#waiting.delete(message.id)
    if (message.type === 'answer') waiting?.resolve(message.value)
    else waiting?.reject(fromWire(message.error))
  }

  #end(error: Error): void {
    this.#ended ??= error
    for (const { reject } of this.#waiting.values()) reject(this.#ended)
    this.#waiting.clear()
  }
}
