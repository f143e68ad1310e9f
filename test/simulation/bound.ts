// How long anything may take once nothing goes wrong any more: what docs/operations/waits.md says of each wait, one after the other.

import { KEEP_MS } from '#shared/controllers/transfer.ts'
import { DOWNLOAD_RETRY_UNITS } from '#shared/domain/download.ts'
import { HAND_OVER_DEADLINE_MS } from '#shared/domain/staged-volume.ts'
import { MAX_BACKOFF_UNITS } from '#shared/domain/upload.ts'
import { POLL_AGAIN_AT_MOST_MS } from '#shared/domain/waits.ts'
import { REQUEST_MS } from '#shared/kernel/call-limits.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import { BUDGET } from './bucket.ts'
import { SIZE_BYTES } from './objects.ts'
import { SLICE_SECONDS } from './processes.ts'

/** One slice moves at least a batch. */
const MOST_SLICES = Math.ceil(SIZE_BYTES / BUDGET.batchBytes) + 2
/** About so many calls of the store one after the other, when a slice begins and ends. */
const CALLS_PER_SLICE = 40
/** Of the pace 60: what a call of the store takes, at most. */
const SLOWEST_CALL_MS = 6 * SECOND_MS
const SWEEP_MS = MINUTE_MS

/** `transfers`: all that were asked for, which may have to queue for one slot. */
export function boundMs(transfers: number, pace: number): number {
  const { leaseMs, bindTimeoutMs, backoffUnitMs } = readSettings({})
  const callMs = Math.ceil((pace / 60) * SLOWEST_CALL_MS)
  const sliceMs = SLICE_SECONDS * SECOND_MS + CALLS_PER_SLICE * callMs + SWEEP_MS
  const waits = [
    REQUEST_MS + KEEP_MS, // a request that was inside of a call that never returns
    2 * leaseMs + SWEEP_MS, // the Lease of who died then, and the sweep that notices
    Math.max(MAX_BACKOFF_UNITS, DOWNLOAD_RETRY_UNITS) * backoffUnitMs + SWEEP_MS, // the longest back-off
    bindTimeoutMs + SWEEP_MS, // a claim that nobody provisions
    HAND_OVER_DEADLINE_MS + POLL_AGAIN_AT_MOST_MS + SWEEP_MS, // a target that is never bound
    transfers * MOST_SLICES * sliceMs,
  ]
  return waits.reduce((sum, ms) => sum + ms, 0)
}
