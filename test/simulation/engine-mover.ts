// The mover of one pod, with the real engine in it. It has no child process and no threads, but behaves like the real one: it can be killed
// at any moment, keeps a snapshot open between two slices, and reads and writes disks that vSphere locks.

import type { Clock } from '#shared/kernel/clock.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { download } from '#shared/movers/block/download.ts'
import { inlineLane } from '#shared/movers/block/inline-lane.ts'
import type { Lane, LaneSetup } from '#shared/movers/block/lane.ts'
import { type EngineDeps, upload } from '#shared/movers/block/upload.ts'
import type {
  DiskRef,
  DownloadOutcome,
  DownloadProgress,
  DownloadRequest,
  Mover,
  TransferOptions,
  UploadOutcome,
  UploadProgress,
  UploadRequest,
} from '#shared/ports/mover.ts'
import { BUDGET, type Bucket } from './bucket.ts'
import type { VirtualClock } from './clock.ts'
import type { Disks, OpenDisk } from './disks.ts'
import type { Pod } from './pod.ts'

const CHUNK_MS = SECOND_MS
const IDLE_MS = 45 * SECOND_MS
const WORKERS = 2

type MoverWorld = { clock: VirtualClock; bucket: Bucket; disks: Disks; broken: string[]; sessions: Sessions }

type Moving = { pod: Pod; isAlive: () => boolean }

/** Which movers work on which session at this moment. */
export class Sessions {
  readonly #moving = new Map<string, Set<Moving>>()

  /** When two movers are on one session, all but one must belong to a pod that was paused without knowing it. */
  enter(session: string, mine: Moving, broken: string[]): () => void {
    const all = this.#moving.get(session) ?? new Set()
    this.#moving.set(session, all)
    all.add(mine)
    const awake = [...all].filter(({ pod, isAlive }) => isAlive() && !pod.wasPaused && !pod.dead)
    if (awake.length > 1) broken.push(`two uploads write session ${session}`)
    return () => all.delete(mine)
  }
}

class Child {
  alive = true
  isBusy = false
  /** Key, disk and handles of what is open. */
  key = ''
  fcdId = ''
  opened: OpenDisk[] = []
  readonly died = Promise.withResolvers<never>()

  constructor() {
    this.died.promise.catch(() => {})
  }

  /** Closes in order. */
  closeDisks(): void {
    for (const disk of this.opened) disk.end()
    this.opened = []
    this.key = ''
    this.fcdId = ''
  }

  kill(): void {
    this.alive = false
    for (const disk of this.opened) disk.close()
    this.opened = []
    this.died.reject(killed())
  }
}

const killed = () => new RetryableError('MoverKilled', 'the mover was killed')

/** Rejects when `kill` aborts. */
function abortOf(kill: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  kill.addEventListener('abort', () => reject(killed()), { once: true })
  return promise
}

export class EngineMover implements Mover {
  readonly #world: MoverWorld
  readonly #pod: Pod
  #child: Child | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #transfers = 0

  constructor(world: MoverWorld, pod: Pod) {
    this.#world = world
    this.#pod = pod
    pod.onDeath(() => this.#child !== undefined && this.#kill(this.#child))
  }

  upload(request: UploadRequest, options: TransferOptions<UploadProgress>): Promise<UploadOutcome> {
    return this.#inTurn(options.kill, async (child) => {
      const leave = this.#world.sessions.enter(
        request.session,
        { pod: this.#pod, isAlive: () => child.alive },
        this.#world.broken,
      )
      try {
        const outcome = await upload(request, this.#engineDeps(child), options)
        if (outcome.state === 'sealed') child.closeDisks()
        return outcome
      } finally {
        leave()
      }
    })
  }

  download(request: DownloadRequest, options: TransferOptions<DownloadProgress>): Promise<DownloadOutcome> {
    return this.#inTurn(options.kill, async (child) => {
      const outcome = await download(request, this.#engineDeps(child), options)
      child.closeDisks()
      return outcome
    })
  }

  async endAccess({ fcdId }: DiskRef, kill: AbortSignal): Promise<void> {
    await this.#pod.awake('mover')
    this.#child ??= new Child()
    const child = this.#child
    if (!child.isBusy) child.closeDisks()
    if (child.fcdId === fcdId) return
    const end = async () => this.#world.disks.endAccess(fcdId)
    const ending = this.#pod.call('disk', 'end access', true, end, 'mover')
    const onKill = () => !child.isBusy && this.#kill(child)
    kill.addEventListener('abort', onKill)
    try {
      await Promise.race([ending, child.died.promise, abortOf(kill)])
    } finally {
      kill.removeEventListener('abort', onKill)
    }
  }

  #kill(child: Child): void {
    child.kill()
    if (this.#child === child) this.#child = undefined
  }

  async close(): Promise<void> {
    await this.#turn
    this.#child?.closeDisks()
    this.#child = undefined
  }

  #inTurn<T>(kill: AbortSignal, transfer: (child: Child) => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => this.#run(kill, transfer))
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  async #run<T>(kill: AbortSignal, transfer: (child: Child) => Promise<T>): Promise<T> {
    await this.#pod.awake('mover')
    if (kill.aborted) throw killed()
    this.#child ??= new Child()
    const child = this.#child
    const mine = ++this.#transfers
    child.isBusy = true
    const onKill = () => this.#kill(child)
    kill.addEventListener('abort', onKill)
    try {
      return await Promise.race([transfer(child), child.died.promise])
    } catch (error) {
      child.closeDisks()
      throw error
    } finally {
      kill.removeEventListener('abort', onKill)
      child.isBusy = false
      // After this idle time the mover closes what it still has open.
      void this.#world.clock.sleep(IDLE_MS).then(() => mine === this.#transfers && child.closeDisks())
    }
  }

  #engineDeps(child: Child): EngineDeps {
    const store = this.#world.bucket.storeOf(this.#pod, 'mover', () => child.alive)
    const openLanes: EngineDeps['openLanes'] = (disk, setup, writable) => this.#openLanes(child, disk, setup, writable)
    return { store, clock: this.#moverClock(), openLanes, workers: WORKERS, budget: BUDGET }
  }

  #moverClock(): Clock {
    const sleep = async (ms: number, signal?: AbortSignal) => {
      await this.#world.clock.sleep(ms, signal)
      await this.#pod.awake('mover')
    }
    return { nowMs: () => this.#pod.nowMs(), monotonicMs: () => this.#pod.monotonicMs(), sleep }
  }

  async #openLanes(child: Child, { fcdId, snapshotId }: DiskRef, setup: LaneSetup, writable: boolean): Promise<Lane[]> {
    const key = JSON.stringify([fcdId, snapshotId, writable])
    if (key !== child.key) {
      child.closeDisks()
      const opened: OpenDisk[] = []
      await this.#pod.call('disk', 'open disk', false, async () => undefined, 'mover')
      // A killed process opens nothing, even if an answer was still on its way.
      if (!child.alive) throw killed()
      for (let lane = 0; lane < (writable ? 1 : WORKERS); lane++) {
        opened.push(this.#world.disks.open(this.#pod, () => child.alive, fcdId, snapshotId, writable))
      }
      child.opened = opened
      child.key = key
      child.fcdId = fcdId
    }
    return child.opened.map((disk) => this.#inTime(inlineLane(disk, setup)))
  }

  /** Disks take time, do one request after the other, and may fail at any of them. */
  #inTime(lane: Lane): Lane {
    let last: Promise<unknown> = Promise.resolve()
    const inOrder = <T>(act: () => Promise<T>): Promise<T> => {
      const mine = last.then(act)
      last = mine.catch(() => undefined)
      return mine
    }
    const request = <T>(name: string, chunks: number, act: () => Promise<T>): Promise<T> =>
      inOrder(async () => {
        if (chunks > 0) await this.#world.clock.sleep(CHUNK_MS * chunks)
        return await this.#pod.call('disk', name, name !== 'read disk', act, 'mover')
      })
    return {
      get onPack() {
        return lane.onPack
      },
      set onPack(onPack) {
        lane.onPack = onPack
      },
      returnBuffer: (buffer) => lane.returnBuffer(buffer),
      allocated: (offsetBytes, lengthBytes) => inOrder(() => lane.allocated(offsetBytes, lengthBytes)),
      scan: (batch, chunks) => request('read disk', chunks.length, () => lane.scan(batch, chunks)),
      store: (batch, positions) => inOrder(() => lane.store(batch, positions)),
      flushPack: () => inOrder(() => lane.flushPack()),
      write: (part, onTaken) =>
        request('write disk', part.targets.length / 2, () => lane.write(part, () => undefined)).finally(onTaken),
      writeZeros: (offsetBytes, lengthBytes) =>
        request('write disk', 1, () => lane.writeZeros(offsetBytes, lengthBytes)),
      flushDisk: () => request('flush disk', 0, () => lane.flushDisk()),
    }
  }
}
