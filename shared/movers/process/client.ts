// The function's side of the mover: starts the child process, sends it transfers, and ends it when it is idle or must be killed.

import { type ChildProcess, spawn } from 'node:child_process'
import { type Clock, systemClock } from '#shared/kernel/clock.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { DEFAULT_MEMORY_MIB, DEFAULT_WORKERS } from '#shared/movers/block/budget.ts'
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
import type { FromMover, MoverSetup, ToMover } from './protocol.ts'
import { type DiskSettings, environmentFor } from './providers.ts'
import { fromWire } from './wire-error.ts'

export type MoverOptions = {
  /** The mover's main file: `shared/movers/process/main.ts` or the bundle `mover.mjs`. */
  entry: string
  /** Environment of the child; the variables that its provider of disks needs are added. */
  env: NodeJS.ProcessEnv
  memoryMib?: number | undefined
  workers?: number | undefined
  /** Limit on the bytes that it sends to the store and receives from it, together; undefined: no limit. */
  bytesPerSecond?: number | undefined
  /** Which provider opens disks; undefined: no disk can be opened. */
  disks?: DiskSettings | undefined
  /** A child that is idle for this long is ended, which frees its memory and handles. */
  idleMs?: number | undefined
  /** Clock for times that a transfer writes for other processes to read; undefined: the node's clock. */
  wall?: Pick<Clock, 'nowMs'> | undefined
  /** Receives problems that were found and worked around. */
  onWarning?: ((reason: string, message: string) => void) | undefined
}

const IDLE_MS = 45 * SECOND_MS
/** Time to close the disks in order; then the child is killed. */
const CLOSE_MS = 10 * SECOND_MS
/** One malloc arena for each thread would take memory that no buffer uses. */
const CHILD_ENVIRONMENT = { MALLOC_ARENA_MAX: '2' }

/** The engine triggers the collection of its dead buffers itself (shared/repository/core/freed-buffers.ts). */
const CHILD_ARGUMENTS = ['--expose-gc', '--max-semi-space-size=2']

type Outcome = UploadOutcome | DownloadOutcome
type Settled = { resolve: (outcome: Outcome) => void; reject: (error: Error) => void }
type Ending = PromiseWithResolvers<void> & { id: number }
type Transfer = { settled: Settled; onProgress: (progress: UploadProgress | DownloadProgress) => void }

export function createMover(options: MoverOptions): Mover {
  return new MoverClient(options)
}

class MoverClient implements Mover {
  readonly #options: MoverOptions
  #child: ChildProcess | undefined
  #transfer: Transfer | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #starting: Promise<ChildProcess> | undefined
  #ending: Ending | undefined
  #lastEnding = 0
  #endings: Promise<void> = Promise.resolve()
  #idle: NodeJS.Timeout | undefined

  constructor(options: MoverOptions) {
    this.#options = options
  }

  upload(request: UploadRequest, options: TransferOptions<UploadProgress>): Promise<UploadOutcome> {
    return this.#inTurn(
      () => this.#ask({ type: 'upload', request, aheadMs: this.#aheadMs() }, options) as Promise<UploadOutcome>,
    )
  }

  download(request: DownloadRequest, options: TransferOptions<DownloadProgress>): Promise<DownloadOutcome> {
    return this.#inTurn(
      () => this.#ask({ type: 'download', request, aheadMs: this.#aheadMs() }, options) as Promise<DownloadOutcome>,
    )
  }

  /** Does not wait for transfers, which take minutes; several calls run one after the other. */
  endAccess(disk: DiskRef, kill: AbortSignal): Promise<void> {
    const ending = this.#endings.then(() => this.#endAccess(disk, kill))
    this.#endings = ending.catch(() => {})
    return ending
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#endings
      await this.#closeChild()
    })
  }

  #aheadMs(): number {
    const { wall = systemClock } = this.#options
    return wall.nowMs() - systemClock.nowMs()
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(act)
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #ask<Progress extends UploadProgress | DownloadProgress>(
    message: ToMover,
    { signal, kill, onProgress }: TransferOptions<Progress>,
  ): Promise<Outcome> {
    const child = await this.#require(kill)
    const onAbort = () => this.#send(child, { type: 'stop' })
    const onKill = () => this.#kill(child)
    kill.addEventListener('abort', onKill, { once: true })
    try {
      return await new Promise((resolve, reject) => {
        const settled = { resolve, reject }
        this.#transfer = { settled, onProgress: (progress) => onProgress(progress as Progress) }
        this.#send(child, message)
        if (signal.aborted) onAbort()
        else signal.addEventListener('abort', onAbort, { once: true })
        if (kill.aborted) onKill()
      })
    } finally {
      signal.removeEventListener('abort', onAbort)
      kill.removeEventListener('abort', onKill)
      this.#transfer = undefined
      this.#rest()
    }
  }

  async #endAccess(disk: DiskRef, kill: AbortSignal): Promise<void> {
    const child = await this.#require(kill)
    const ending = { ...Promise.withResolvers<void>(), id: ++this.#lastEnding }
    const onKill = () => {
      if (this.#transfer === undefined) this.#kill(child)
      ending.reject(killed())
    }
    this.#ending = ending
    kill.addEventListener('abort', onKill, { once: true })
    try {
      if (kill.aborted) onKill()
      this.#send(child, { type: 'endAccess', id: ending.id, disk })
      await ending.promise
    } finally {
      kill.removeEventListener('abort', onKill)
      this.#ending = undefined
      if (this.#transfer === undefined) this.#rest()
    }
  }

  /** RetryableError `MoverKilled`: the kill signal aborted before the work began. */
  async #require(kill: AbortSignal): Promise<ChildProcess> {
    if (kill.aborted) throw killed()
    clearTimeout(this.#idle)
    const child = this.#child ?? (await this.#started())
    if (!kill.aborted) return child
    if (this.#transfer === undefined) this.#rest()
    throw killed()
  }

  async #started(): Promise<ChildProcess> {
    const starting = this.#starting ?? this.#start()
    this.#starting = starting
    try {
      return await starting
    } finally {
      if (this.#starting === starting) this.#starting = undefined
    }
  }

  /** At once: the running transfer must not write any more. */
  #kill(child: ChildProcess): void {
    if (child === this.#child) this.#dismiss(child, killed())
  }

  /** The next caller gets a new child: only a new process loads a VDDK that was repaired in the meantime. */
  #dismiss(child: ChildProcess, why: Error): void {
    this.#child = undefined
    child.kill('SIGKILL')
    this.#fail(why)
  }

  #rest(): void {
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => void this.close(), this.#options.idleMs ?? IDLE_MS).unref()
  }

  async #start(): Promise<ChildProcess> {
    const { entry, env } = this.#options
    const own = await environmentFor(this.#options.disks, { ...CHILD_ENVIRONMENT, ...env })
    const child = spawn(process.execPath, [...CHILD_ARGUMENTS, entry], {
      env: own,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    })
    this.#child = child
    child.on('message', (message: FromMover) => this.#receive(child, message))
    child.on('error', (error) => this.#gone(child, `cannot be started: ${error.message}`))
    child.on('exit', (code, signal) => this.#gone(child, `ended with ${signal ?? `code ${code}`}`))
    this.#send(child, { type: 'setup', setup: this.#setup() })
    return child
  }

  #setup(): MoverSetup {
    const { disks, memoryMib, workers, bytesPerSecond } = this.#options
    return {
      disks,
      memoryMib: memoryMib ?? DEFAULT_MEMORY_MIB,
      workers: workers ?? DEFAULT_WORKERS,
      bytesPerSecond,
    }
  }

  #receive(child: ChildProcess, message: FromMover): void {
    if (child !== this.#child) return
    switch (message.type) {
      case 'ready':
        return
      case 'unusable':
        this.#dismiss(child, fromWire(message.error))
        return
      case 'warning':
        this.#options.onWarning?.(message.reason, message.message)
        return
      case 'progress':
        this.#transfer?.onProgress(message.progress)
        return
      case 'done':
        this.#transfer?.settled.resolve(message.outcome)
        return
      case 'failed':
        this.#transfer?.settled.reject(fromWire(message.error))
        return
      case 'accessEnded':
        if (message.id !== this.#ending?.id) return // the answer to a call that was given up
        if (message.error === undefined) this.#ending?.resolve()
        else this.#ending?.reject(fromWire(message.error))
    }
  }

  /** If the channel closes during the send, the child's exit reports it. */
  #send(child: ChildProcess, message: ToMover): void {
    if (child.connected) child.send(message, () => {})
  }

  #gone(child: ChildProcess, how: string): void {
    if (child !== this.#child) return
    this.#child = undefined
    this.#fail(new RetryableError('MoverDied', `the mover ${how}`))
  }

  #fail(error: Error): void {
    this.#transfer?.settled.reject(error)
    this.#ending?.reject(error)
  }

  async #closeChild(): Promise<void> {
    clearTimeout(this.#idle)
    const child = this.#child
    if (child === undefined) return
    this.#child = undefined
    await new Promise<void>((resolve) => {
      const late = setTimeout(() => child.kill('SIGKILL'), CLOSE_MS)
      child.once('exit', () => {
        clearTimeout(late)
        resolve()
      })
      this.#send(child, { type: 'close' })
      if (!child.connected) child.kill('SIGKILL')
    })
  }
}

function killed(): RetryableError {
  return new RetryableError('MoverKilled', 'the mover was killed')
}
