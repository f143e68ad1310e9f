// The longest time that any work may take after the last fault: the sum of the waits in docs/operations/waits.md.

import { KEEP_MS } from '#shared/controllers/slice.ts'
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

/** Each slice moves at least one batch. */
const MOST_SLICES = Math.ceil(SIZE_BYTES / BUDGET.batchBytes) + 2
/** An estimate of the store calls that a slice makes one after the other when it begins and ends. */
const CALLS_PER_SLICE = 40
/** The longest store call at pace 60. */
const SLOWEST_CALL_MS = 6 * SECOND_MS
const SWEEP_MS = MINUTE_MS

/** `transfers`: how many were asked for; all of them may have to queue for one slot. */
export function boundMs(transfers: number, pace: number): number {
  const { leaseMs, bindTimeoutMs, backoffUnitMs } = readSettings({})
  const callMs = Math.ceil((pace / 60) * SLOWEST_CALL_MS)
  const sliceMs = SLICE_SECONDS * SECOND_MS + CALLS_PER_SLICE * callMs + SWEEP_MS
  const waits = [
    REQUEST_MS + KEEP_MS, // a request that was inside a call that never returns
    2 * leaseMs + SWEEP_MS, // the Lease of a holder that died then, and the sweep that notices
    Math.max(MAX_BACKOFF_UNITS, DOWNLOAD_RETRY_UNITS) * backoffUnitMs + SWEEP_MS, // the longest back-off
    bindTimeoutMs + SWEEP_MS, // a claim that no driver provisions
    HAND_OVER_DEADLINE_MS + POLL_AGAIN_AT_MOST_MS + SWEEP_MS, // a target that is never bound
    transfers * MOST_SLICES * sliceMs,
  ]
  return waits.reduce((sum, ms) => sum + ms, 0)
}
