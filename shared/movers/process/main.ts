// Main file of the mover, the child process that holds VDDK, the disk handles and the engine. client.ts starts it.

import { systemClock, withWallTime } from '#shared/kernel/clock.ts'
import { MiB } from '#shared/kernel/units.ts'
import { download } from '#shared/movers/block/download.ts'
import { type EngineDeps, upload } from '#shared/movers/block/upload.ts'
import type { DiskProvider } from '#shared/ports/disk-provider.ts'
import type { DiskRef } from '#shared/ports/mover.ts'
import type { OpenedStore } from '#shared/ports/stores.ts'
import { Pacer } from '#shared/repository/core/pacer.ts'
import { KeyCache } from '#shared/repository/core/repository.ts'
import { openStore } from '#shared/repository/stores/open.ts'
import { LanePool } from './lane-pool.ts'
import type { FromMover, MoverSetup, ToMover } from './protocol.ts'
import { startProvider } from './providers.ts'
import { toWire } from './wire-error.ts'

/** Buffers of downloaded bodies that are kept for reuse. */
const KEPT_BODY_BYTES = 12 * MiB

type Transfer = Extract<ToMover, { type: 'upload' | 'download' }>
type Mover = {
  setup: MoverSetup
  provider: DiskProvider
  lanes: LanePool
  keyCache: KeyCache
  pacer: Pacer | undefined
}

let mover: Promise<Mover> | undefined
let stop = new AbortController()
/** 0 or 1: the function asks for one transfer at a time. */
let transfers = 0

const send = (message: FromMover) => process.send?.(message)

// The parent process has ended or has disconnected. Not process.exit: it would wait for a thread that is inside VDDK.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
// The function handles a signal to the whole process group, and then stops the mover in order.
process.on('SIGTERM', () => {})
process.on('SIGINT', () => {})

process.on('message', (message: ToMover) => {
  switch (message.type) {
    case 'setup':
      mover = start(message.setup)
      mover.then(
        () => send({ type: 'ready' }),
        (error: unknown) => send({ type: 'unusable', error: toWire(error) }),
      )
      return
    case 'stop':
      stop.abort()
      return
    case 'endAccess':
      void letGo(message.id, message.disk)
      return
    case 'close':
      void close()
      return
    default:
      // A transfer that could not begin because the setup failed also reports its reason.
      transfer(message).catch((error: unknown) => send({ type: 'failed', error: toWire(error) }))
  }
})

async function start(setup: MoverSetup): Promise<Mover> {
  const provider = await startProvider(setup.disks)
  const { bytesPerSecond } = setup
  const pacer = bytesPerSecond === undefined ? undefined : new Pacer(systemClock, bytesPerSecond)
  return { setup, provider, lanes: new LanePool(setup, provider), keyCache: new KeyCache(), pacer }
}

async function transfer(message: Transfer): Promise<void> {
  stop = new AbortController()
  transfers++
  try {
    await move(message, stop.signal)
  } finally {
    transfers--
  }
}

async function move(message: Transfer, signal: AbortSignal): Promise<void> {
  const started = await requireSetup()
  const store = await openStore(message.request.repository.store, { keepBufferBytes: KEPT_BODY_BYTES })
  try {
    const deps = engineDeps(started, store, message.aheadMs)
    const options = { signal, onProgress: (progress: object) => sendProgress(progress) }
    const outcome =
      message.type === 'upload'
        ? await upload(message.request, deps, options)
        : await download(message.request, deps, options)
    // A finished transfer must not hold the disk: its snapshot is about to be deleted, or its volume handed over. A disk that is open for
    // writing is locked, and the next slice may run in another pod.
    if (outcome.state === 'sealed' || message.type === 'download') await started.lanes.closeAll()
    send({ type: 'done', outcome })
  } catch (error) {
    await started.lanes.closeAll().catch((closing: unknown) => warn('DiskNotClosed', String(closing)))
    send({ type: 'failed', error: toWire(error) })
  } finally {
    store.close()
  }
}

async function requireSetup(): Promise<Mover> {
  if (mover === undefined) throw new Error('the setup must come first')
  return await mover
}

async function letGo(id: number, disk: DiskRef): Promise<void> {
  try {
    const { provider, lanes } = await requireSetup()
    if (transfers === 0) await lanes.closeAll()
    provider.endAccess(disk)
    send({ type: 'accessEnded', id })
  } catch (error) {
    send({ type: 'accessEnded', id, error: toWire(error) })
  }
}

function sendProgress(progress: object): void {
  send({ type: 'progress', progress: progress as Extract<FromMover, { type: 'progress' }>['progress'] })
}

function engineDeps({ setup, lanes, keyCache, pacer }: Mover, store: OpenedStore, aheadMs: number): EngineDeps {
  const { memoryMib, workers } = setup
  const openLanes: EngineDeps['openLanes'] = (disk, lane, writable) => lanes.open(disk, lane, writable)
  const clock = withWallTime(systemClock, { nowMs: () => systemClock.nowMs() + aheadMs })
  const recycle = store.release?.bind(store)
  return { store, recycle, clock, openLanes, warn, memoryMib, workers, keyCache, pacer }
}

function warn(reason: string, message: string): void {
  send({ type: 'warning', reason, message })
}

async function close(): Promise<void> {
  try {
    // A mover whose setup failed has nothing open, and has reported why.
    await (await mover?.catch(() => undefined))?.lanes.closeAll()
  } catch (error) {
    warn('DiskNotClosed', String(error))
  }
  process.exit(0)
}
