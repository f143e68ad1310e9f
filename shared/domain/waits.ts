// How long the functions let an object wait before they look at it again. Who writes a due time takes it from here, so that the sweep knows the
// longest there can be: a tenant can write one, too, and would hide work from it.

import type { SteppedKind } from '#shared/api/kinds.ts'
import { HOUR_MS, MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import { DOWNLOAD_RETRY_UNITS } from './download.ts'
import { MAX_BACKOFF_UNITS } from './upload.ts'

/** How soon a snapshot that vCenter is still at, or was too busy for, is looked at again, in back-off units: half a minute by default. */
export const BUSY_RETRY_UNITS = 0.5
/** What a restore waits for is looked at again after this long, if no event comes before; the longer it has been so, the more rarely. */
export const POLL_AGAIN_MS = 10 * SECOND_MS
export const POLL_AGAIN_AT_MOST_MS = 5 * MINUTE_MS
/** While an upload is being stopped. Its end is looked for, as its events wake only its own function. */
export const UPLOAD_STOP_MS = 5 * SECOND_MS
/** A location that is only read may be opened for writes one day: then what was left out (probe, recovery slot) is made up for. */
export const READ_ONLY_AGAIN_MS = HOUR_MS

/** Clocks of nodes differ by less. */
export const CLOCKS_DIFFER_MS = MINUTE_MS

/** In back-off units, and in ms: the larger one counts. */
const LONGEST: Record<SteppedKind, { units: number; ms: number }> = {
  Snapshot: { units: BUSY_RETRY_UNITS, ms: 0 },
  Upload: { units: MAX_BACKOFF_UNITS, ms: 0 },
  Download: { units: DOWNLOAD_RETRY_UNITS, ms: 0 },
  CloneFromSnapshot: { units: 0, ms: POLL_AGAIN_AT_MOST_MS },
  DeleteSnapshot: { units: 1, ms: UPLOAD_STOP_MS },
  BackupRepositoryClaim: { units: 1, ms: READ_ONLY_AGAIN_MS },
}

/** Nothing of ours is due later than this from now. */
export function longestWaitMs(kind: string, backoffUnitMs: number): number {
  const { units, ms } = LONGEST[kind as SteppedKind] ?? { units: 0, ms: 0 }
  return Math.max(units * backoffUnitMs, ms) + CLOCKS_DIFFER_MS
}

/** Without its time to try again when that is farther away than any of ours: a clock that was ahead wrote it, or a hand. */
export function withBelievedRetry<Seen extends { nextRetryMs: number }>(
  kind: string,
  seen: Seen,
  nowMs: number,
  backoffUnitMs: number,
): Seen {
  const isTooFar = seen.nextRetryMs - nowMs > longestWaitMs(kind, backoffUnitMs)
  return isTooFar ? { ...seen, nextRetryMs: 0 } : seen
}
