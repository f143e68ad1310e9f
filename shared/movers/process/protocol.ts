// The messages between the function and its mover (IPC), and between the mover's main thread and its workers.

import type { FetchedPart, FullPack, LaneSetup, ScanResult } from '#shared/movers/block/lane.ts'
import type { Extent } from '#shared/ports/disk.ts'
import type {
  DiskRef,
  DownloadOutcome,
  DownloadProgress,
  DownloadRequest,
  UploadOutcome,
  UploadProgress,
  UploadRequest,
} from '#shared/ports/mover.ts'
import type { DiskSettings } from './providers.ts'
import type { WireError } from './wire-error.ts'

/** First message to the child. */
export type MoverSetup = {
  /** undefined: no disk can be opened. */
  disks: DiskSettings | undefined
  memoryMib: number
  workers: number
  /** undefined: no limit. */
  bytesPerSecond: number | undefined
}

/** `aheadMs`: how far the wall time of all processes is ahead of the node's clock (below 0: behind it), when the transfer begins. */
type Asked = { aheadMs: number }

export type ToMover =
  | { type: 'setup'; setup: MoverSetup }
  | (Asked & { type: 'upload'; request: UploadRequest })
  | (Asked & { type: 'download'; request: DownloadRequest })
  /** Also allowed during a transfer; one at a time. */
  | { type: 'endAccess'; id: number; disk: DiskRef }
  /** The running transfer stops after the work that it has in hand. */
  | { type: 'stop' }
  | { type: 'close' }

export type FromMover =
  | { type: 'ready' }
  /** The setup has failed, and so will every request. */
  | { type: 'unusable'; error: WireError }
  | { type: 'progress'; progress: UploadProgress | DownloadProgress }
  | { type: 'done'; outcome: UploadOutcome | DownloadOutcome }
  | { type: 'failed'; error: WireError }
  /** The answer to endAccess; `error`: it failed. */
  | { type: 'accessEnded'; id: number; error?: WireError }
  | { type: 'warning'; reason: string; message: string }

/** One call of a Lane; the answer carries the same `id`. */
export type LaneOrder =
  | { name: 'begin'; setup: LaneSetup }
  | { name: 'allocated'; offsetBytes: number; lengthBytes: number }
  | { name: 'scan'; batch: number; chunks: Uint32Array }
  | { name: 'store'; batch: number; positions: Uint32Array }
  | { name: 'flushPack' }
  | { name: 'write'; part: FetchedPart }
  | { name: 'writeZeros'; offsetBytes: number; lengthBytes: number }
  | { name: 'flushDisk' }
  | { name: 'close' }

/** The part's memory comes back with the answer. */
export type WriteAnswer = { written: number; buffer: ArrayBuffer }
export type LaneAnswer = Extent[] | undefined | ScanResult | WriteAnswer

export type ToWorker = { type: 'order'; id: number; order: LaneOrder } | { type: 'buffer'; buffer: ArrayBuffer }

export type FromWorker =
  | { type: 'answer'; id: number; value: LaneAnswer }
  | { type: 'refusal'; id: number; error: WireError }
  | { type: 'pack'; pack: FullPack }
