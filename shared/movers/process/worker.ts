// Main file of a worker thread: opens the disk and carries out the calls of one lane, one after the other.

import { parentPort, workerData } from 'node:worker_threads'
import type { FullPack } from '#shared/movers/block/lane.ts'
import { LaneWork } from '#shared/movers/block/lane-work.ts'
import type { Disk } from '#shared/ports/disk.ts'
import type { FromWorker, LaneAnswer, LaneOrder, ToWorker } from './protocol.ts'
import { openDisk, type WorkerBirth } from './providers.ts'
import { toWire } from './wire-error.ts'

const port = parentPort
if (port === null) throw new Error('this file is a worker: the mover starts it')

const post = (message: FromWorker, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer)
const opening: Promise<Disk> = openDisk(workerData as WorkerBirth)
// Every order waits for it and reports its failure.
opening.catch(() => {})
let work: LaneWork | undefined
let last: Promise<void> = Promise.resolve()

port.on('message', (message: ToWorker) => {
  // A buffer must not queue behind the order that waits for it.
  if (message.type === 'buffer') work?.returnBuffer(message.buffer)
  else last = last.then(() => answer(message.id, message.order))
})

async function answer(id: number, order: LaneOrder): Promise<void> {
  try {
    const value = await carryOut(order)
    post({ type: 'answer', id, value }, movable(value))
  } catch (error) {
    post({ type: 'refusal', id, error: toWire(error) })
  }
}

async function carryOut(order: LaneOrder): Promise<LaneAnswer> {
  if (order.name === 'close') {
    // A disk that never opened has nothing to close; the reason was reported before.
    const disk = await opening.catch(() => undefined)
    disk?.close()
    return undefined
  }
  const disk = await opening
  if (order.name === 'begin') {
    work = new LaneWork(disk, order.setup, (pack) => postPack(pack))
    return undefined
  }
  if (work === undefined) throw new Error(`order ${order.name} came before begin`)
  return await onLane(work, order)
}

function onLane(
  lane: LaneWork,
  order: Exclude<LaneOrder, { name: 'begin' | 'close' }>,
): LaneAnswer | Promise<LaneAnswer> {
  switch (order.name) {
    case 'allocated':
      return lane.allocated(order.offsetBytes, order.lengthBytes)
    case 'scan':
      return lane.scan(order.batch, order.chunks)
    case 'store':
      return lane.store(order.batch, order.positions).then(() => undefined)
    case 'flushPack':
      return void lane.flushPack()
    case 'write':
      return { written: lane.write(order.part), buffer: order.part.bytes.buffer as ArrayBuffer }
    case 'writeZeros':
      return void lane.writeZeros(order.offsetBytes, order.lengthBytes)
    case 'flushDisk':
      return void lane.flushDisk()
  }
}

/** Memory of an answer that is transferred without a copy. */
function movable(value: LaneAnswer): ArrayBuffer[] {
  if (value === undefined || Array.isArray(value)) return []
  return 'ids' in value ? [value.ids.buffer as ArrayBuffer] : [value.buffer]
}

function postPack(pack: FullPack): void {
  post({ type: 'pack', pack }, [pack.buffer, pack.chunks.buffer as ArrayBuffer, pack.blobs.buffer as ArrayBuffer])
}
