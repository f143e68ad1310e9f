// One worker thread of child.ts: does its steps on one disk handle and answers with what each gave.

import { createHash } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { asError } from '#shared/kernel/errors.ts'
import type { Disk, Extent } from '#shared/ports/disk.ts'
import { openVddkDisk, type VddkDiskOptions } from '#shared/providers/vddk/disk.ts'
import { endLeftAccess } from '#shared/providers/vddk/left-access.ts'
import { initVddk, loadVddk } from '#shared/providers/vddk/library.ts'
import { VddkLock } from '#shared/providers/vddk/lock.ts'
import { CONNECTION, DATASTORE } from './harness.ts'

type Open = {
  fcdId: string
  snapshotId?: string
  writable?: boolean
  password?: string
  thumbprintSha1?: string
  transportModes?: string
}
export type Step =
  | ({ do: 'open' } & Open)
  | { do: 'read'; offset: number; length: number }
  /** Writes `length` bytes of value `fill`. */
  | { do: 'write'; offset: number; length: number; fill: number }
  | { do: 'allocated'; offset: number; length: number }
  | { do: 'flush' | 'close' }
  /** Waits until all workers are here. */
  | { do: 'meet' }
  /** Opens and closes again and again. */
  | ({ do: 'reopen'; times: number } & Open)
  /** Takes back what a process that died has left. */
  | ({ do: 'end left access' } & Open)
  /** Reads or writes all of the disk once, for measuring. */
  | { do: 'measure'; direction: 'read' | 'write'; blockBytes: number }

type Failure = { name: string; reason?: string; message: string; retryAfterSeconds?: number }
export type StepResult = {
  failure?: Failure
  capacityBytes?: number
  transport?: string
  sha256?: string
  extents?: Extent[] | 'cannot tell'
  megabytesPerSecond?: number
}
export type WorkerOrder = {
  libDir: string
  steps: Step[]
  lock: SharedArrayBuffer
  gate: SharedArrayBuffer
  parties: number
  init: boolean
}

const order = workerData as WorkerOrder
const gate = new Int32Array(order.gate)
let disk: (Disk & { transport: string }) | undefined
let meetings = 0

function optionsOf({ fcdId, snapshotId, writable, password, thumbprintSha1, transportModes }: Open): VddkDiskOptions {
  return {
    library: loadVddk(order.libDir),
    lock: new VddkLock(order.lock),
    connection: { ...CONNECTION, ...(password && { password }), ...(thumbprintSha1 && { thumbprintSha1 }) },
    fcdId,
    datastoreMoref: DATASTORE,
    snapshotId,
    writable: writable ?? false,
    transportModes: transportModes ?? 'nbdssl:nbd',
  }
}

function open(step: Open): StepResult {
  disk = openVddkDisk(optionsOf(step))
  return { capacityBytes: disk.capacityBytes, transport: disk.transport }
}

function opened(): Disk {
  if (disk === undefined) throw new Error('the plan has not opened a disk')
  return disk
}

function read(offset: number, length: number): StepResult {
  // Shared memory with a margin that must stay untouched: the engine reads into such views.
  const buffer = new Uint8Array(new SharedArrayBuffer(length + 16)).fill(0xee)
  const into = buffer.subarray(8, 8 + length)
  opened().read(offset, into)
  if (![...buffer.subarray(0, 8), ...buffer.subarray(8 + length)].every((byte) => byte === 0xee))
    throw new Error('wrote past')
  return { sha256: createHash('sha256').update(into).digest('hex') }
}

function meet(): StepResult {
  meetings += 1
  Atomics.add(gate, 0, 1)
  while (Atomics.load(gate, 0) < meetings * order.parties) Atomics.wait(gate, 0, Atomics.load(gate, 0), 5)
  return {}
}

function measure(direction: 'read' | 'write', blockBytes: number): StepResult {
  const buffer = new Uint8Array(blockBytes).fill(1)
  const { capacityBytes } = opened()
  const startMs = performance.now()
  for (let offset = 0; offset < capacityBytes; offset += blockBytes) opened()[direction](offset, buffer)
  if (direction === 'write') opened().flush()
  return { megabytesPerSecond: capacityBytes / 1000 / (performance.now() - startMs) }
}

function take(step: Step): StepResult {
  switch (step.do) {
    case 'open':
      return open(step)
    case 'read':
      return read(step.offset, step.length)
    case 'write':
      opened().write(step.offset, new Uint8Array(step.length).fill(step.fill))
      return {}
    case 'allocated':
      return { extents: opened().allocated(step.offset, step.length) ?? 'cannot tell' }
    case 'flush':
    case 'close':
      opened()[step.do]()
      return {}
    case 'meet':
      return meet()
    case 'reopen':
      for (let i = 0; i < step.times; i++) {
        open(step)
        opened().close()
      }
      return {}
    case 'end left access':
      endLeftAccess(optionsOf(step))
      return {}
    case 'measure':
      return measure(step.direction, step.blockBytes)
  }
}

function attempt(step: Step): StepResult {
  try {
    return take(step)
  } catch (thrown) {
    const { name, message, reason, retryAfterSeconds } = asError(thrown) as Failure
    return { failure: { name, message, ...(reason && { reason }), ...(retryAfterSeconds && { retryAfterSeconds }) } }
  }
}

if (order.init) initVddk(loadVddk(order.libDir), undefined)
parentPort?.postMessage(order.steps.map(attempt))
