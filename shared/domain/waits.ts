// How long the functions let an object wait before they look at it again. All code that writes a due time takes it from here, so the sweep
// knows the longest legitimate wait. A tenant can write a due time too, and could otherwise hide work from the sweep.

import type { SteppedKind } from '#shared/api/kinds.ts'
import { HOUR_MS, MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import { DOWNLOAD_RETRY_UNITS } from './download.ts'
import { MAX_BACKOFF_UNITS } from './upload.ts'

/** How soon a snapshot is retried while vCenter is still taking it or was too busy, in back-off units: half a minute by default. */
export const BUSY_RETRY_UNITS = 0.5
/**
 * A condition that a restore waits for is checked again after this long, if no event comes first. The longer the wait, the rarer the
 * checks.
 */
export const POLL_AGAIN_MS = 10 * SECOND_MS
export const POLL_AGAIN_AT_MOST_MS = 5 * MINUTE_MS
/** The interval while an upload is being stopped. Its end must be polled, because its events wake only the upload function. */
export const UPLOAD_STOP_MS = 5 * SECOND_MS
/** A read-only location may be opened for writes one day. The steps that were left out (probe, recovery slot) are then made up for. */
export const READ_ONLY_AGAIN_MS = HOUR_MS

/** The clocks of nodes are assumed to differ by less than this. */
export const CLOCKS_DIFFER_MS = MINUTE_MS

/** In back-off units and in ms; the larger one counts. */
const LONGEST: Record<SteppedKind, { units: number; ms: number }> = {
  Snapshot: { units: BUSY_RETRY_UNITS, ms: 0 },
  Upload: { units: MAX_BACKOFF_UNITS, ms: 0 },
  Download: { units: DOWNLOAD_RETRY_UNITS, ms: 0 },
  CloneFromSnapshot: { units: 0, ms: POLL_AGAIN_AT_MOST_MS },
  DeleteSnapshot: { units: 1, ms: UPLOAD_STOP_MS },
  BackupRepositoryClaim: { units: 1, ms: READ_ONLY_AGAIN_MS },
}

/** No object is legitimately due later than this from now. */
export function longestWaitMs(kind: string, backoffUnitMs: number): number {
  const { units, ms } = LONGEST[kind as SteppedKind] ?? { units: 0, ms: 0 }
  return Math.max(units * backoffUnitMs, ms) + CLOCKS_DIFFER_MS
}

/** Removes a retry time that is later than any legitimate one: a clock that was ahead, or a user, wrote it. */
export function withBelievedRetry<Seen extends { nextRetryMs: number }>(
  kind: string,
  seen: Seen,
  nowMs: number,
  backoffUnitMs: number,
): Seen {
  const isTooFar = seen.nextRetryMs - nowMs > longestWaitMs(kind, backoffUnitMs)
  return isTooFar ? { ...seen, nextRetryMs: 0 } : seen
}
