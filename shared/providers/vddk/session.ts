// From a disk's name to an open handle and back: the calls that must not overlap in a process (docs/development/vddk.md#connections,
// docs/development/vddk.md#threads).

import koffi from 'koffi'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECTOR_BYTES } from '#shared/kernel/units.ts'
import { ConnectParams, type VddkConnection } from './connect-params.ts'
import { codeOf, HOST_USER_PERMISSIONS, OPERATION_DISABLED } from './errors.ts'
import { check, type VddkLibrary } from './library.ts'
import type { VddkLock } from './lock.ts'
import {
  INFO_CAPACITY,
  OPEN_COMPRESSION_SKIPZ,
  OPEN_READ_ONLY,
  OPEN_UNBUFFERED,
  type Pointer,
  type VixResult,
} from './signatures.ts'

export type VddkDiskOptions = {
  library: VddkLibrary
  lock: VddkLock
  connection: VddkConnection
  fcdId: string
  datastoreMoref: string
  snapshotId?: string | undefined
  writable: boolean
  /** The result of `transportModes`. */
  transportModes: string
}

/** The name under which vCenter records that Dormouse protects the disk from migration. */
export const IDENTITY = 'dormouse'

/** Undoes one step of opening; `call` is its name in an error. */
type UndoStep = { call: string; run: () => VixResult }

export class VddkSession {
  readonly handle: Pointer
  readonly capacityBytes: number
  /** The transport that VDDK chose. */
  readonly transport: string
  readonly #options: VddkDiskOptions
  readonly #params: ConnectParams
  readonly #undo: UndoStep[] = []

  constructor(options: VddkDiskOptions) {
    this.#options = options
    this.#params = new ConnectParams(options.library.functions, options.connection, {
      fcdId: options.fcdId,
      datastoreMoref: options.datastoreMoref,
      snapshotId: options.snapshotId,
    })
    try {
      const opened = options.lock.run(() => this.#openOrUndo())
      this.handle = opened.handle
      this.capacityBytes = opened.capacityBytes
      this.transport = opened.transport
    } catch (error) {
      this.#params.release()
      throw error
    }
  }

  /** Undoes all steps and returns the first failure. */
  end(): Error | undefined {
    const failure = this.#options.lock.run(() => this.#undoAll())
    this.#params.release()
    return failure
  }

  where(): string {
    return describeDisk(this.#options)
  }

  #openOrUndo(): { handle: Pointer; capacityBytes: number; transport: string } {
    try {
      return this.#open()
    } catch (error) {
      this.#undoAll() // the failure that led here is the one to report
      throw error
    }
  }

  #open(): { handle: Pointer; capacityBytes: number; transport: string } {
    const { library, writable, transportModes } = this.#options
    const { functions } = library
    this.#beginAccess()
    const connection = this.#out('ConnectEx', (out) =>
      functions.connectEx(this.#params.pointer, writable ? 0 : 1, null, transportModes, out),
    )
    this.#undo.push({ call: 'Disconnect', run: () => functions.disconnect(connection) })
    // Reading skips zero blocks on the wire, writing bypasses the host's cache: the Velero Plugin for vSphere uses the same flags. An
    // FCD's path is "" (docs/development/vddk.md#connections).
    const flags = writable ? OPEN_UNBUFFERED : OPEN_COMPRESSION_SKIPZ | OPEN_READ_ONLY
    const handle = this.#out('Open', (out) => functions.open(connection, '', flags, out))
    this.#undo.push({ call: 'Close', run: () => functions.close(handle) })
    return { handle, capacityBytes: this.#capacity(handle), transport: functions.getTransportMode(handle) }
  }

  #capacity(handle: Pointer): number {
    const { functions } = this.#options.library
    const info = this.#out('GetInfo', (out) => functions.getInfo(handle, out))
    const sectors = Number(koffi.decode(info, INFO_CAPACITY, 'uint64_t'))
    functions.freeInfo(info)
    return sectors * SECTOR_BYTES
  }

  /**
   * Keeps vCenter from migrating the disk while it is open. Only the first connection of a process requests this, and only the last one
   * ends it. An account without the privilege continues without protection (docs/development/vddk.md#prepareforaccess-and-endaccess).
   */
  #beginAccess(): void {
    const { library, lock, fcdId } = this.#options
    if (lock.enter(fcdId)) {
      const result = this.#prepare()
      if (codeOf(result) !== HOST_USER_PERMISSIONS && codeOf(result) !== 0) {
        lock.leave(fcdId)
        check(library, 'PrepareForAccess', result, this.where())
      }
    }
    this.#undo.push({ call: 'EndAccess', run: () => this.#endAccess() })
  }

  /**
   * Left over from a crash: end it once and ask again, as the Velero Plugin for vSphere does
   * (docs/development/vddk.md#prepareforaccess-and-endaccess).
   */
  #prepare(): VixResult {
    const { functions } = this.#options.library
    const first = functions.prepareForAccess(this.#params.pointer, IDENTITY)
    if (codeOf(first) !== OPERATION_DISABLED) return first
    functions.endAccess(this.#params.pointer, IDENTITY)
    return functions.prepareForAccess(this.#params.pointer, IDENTITY)
  }

  #endAccess(): VixResult {
    const { library, lock, fcdId } = this.#options
    // If this fails, the next run gets 20005 and ends the access; a failure here must not turn a good transfer into a failed one.
    if (lock.leave(fcdId)) library.functions.endAccess(this.#params.pointer, IDENTITY)
    return 0
  }

  #undoAll(): RetryableError | TerminalError | undefined {
    let failure: RetryableError | TerminalError | undefined
    for (let step = this.#undo.pop(); step !== undefined; step = this.#undo.pop()) {
      try {
        check(this.#options.library, step.call, step.run(), this.where())
      } catch (error) {
        if (error instanceof RetryableError || error instanceof TerminalError) failure ??= error
        else throw error
      }
    }
    return failure
  }

  /** Calls a function that returns a pointer through `out`. */
  #out(call: string, work: (out: [Pointer | null]) => VixResult): Pointer {
    const out: [Pointer | null] = [null]
    check(this.#options.library, call, work(out), this.where())
    if (out[0] === null)
      throw new TerminalError('VddkFailure', `${call} ${this.where()}: VDDK reported success and gave nothing`)
    return out[0]
  }
}

type Described = Pick<VddkDiskOptions, 'fcdId' | 'snapshotId' | 'datastoreMoref' | 'connection'>

/** For messages. */
export function describeDisk({ fcdId, snapshotId, datastoreMoref, connection }: Described): string {
  const snapshot = snapshotId === undefined ? '' : ` snapshot ${snapshotId}`
  return `disk ${fcdId}${snapshot} on ${datastoreMoref} by ${connection.server}`
}
