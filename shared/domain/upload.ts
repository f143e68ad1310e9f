// The Upload's states: moves a snapshot's data into the repository, then removes the local snapshot.
//
//   New ──▶ InProgress ──(sealed)──▶ Completed            CleanupFailed ──▶ Completed   (sealed)
//             │  ▲ └─(clean-up failed)─▶ CleanupFailed ─┤
//             ▼  │ retry                                 └▶ UploadFailedAfterRetry      (never sealed)
//         UploadError ──(ceiling)──▶ UploadFailedAfterRetry
//   any unfinished ──(cancel)──▶ Canceling ──▶ Canceled

import { type Snapshot, UPLOAD_PHASES, type Upload, type UploadPhase } from '#shared/api/types.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import { asksToStop, ownerAsksToStop } from './cancel.ts'

/** The legal transitions, as data; the tests walk every edge. */
export const UPLOAD_NEXT = {
  New: ['New', 'InProgress', 'UploadError', 'Canceling', 'UploadFailedAfterRetry', 'CleanupFailed'],
  InProgress: ['InProgress', 'Completed', 'UploadError', 'CleanupFailed', 'Canceling', 'UploadFailedAfterRetry'],
  UploadError: ['UploadError', 'InProgress', 'Canceling', 'UploadFailedAfterRetry', 'CleanupFailed'],
  CleanupFailed: ['CleanupFailed', 'Completed', 'UploadFailedAfterRetry', 'Canceling'],
  Canceling: ['Canceling', 'Canceled'],
  Canceled: [],
  Completed: [],
  UploadFailedAfterRetry: [],
} as const satisfies Record<UploadPhase, readonly UploadPhase[]>

/** All inputs of the decision. */
export type UploadSeen = {
  phase: UploadPhase
  cancelRequested: boolean
  /** The root is durable and verified. */
  sealed: boolean
  /** All attempts are used up; only the local snapshot still has to be removed. */
  givenUp: boolean
  /** Epoch ms before which a failed step is not retried; 0: none. */
  nextRetryMs: number
}

export type UploadStep =
  | { kind: 'nothing'; why: string }
  | { kind: 'wait'; untilMs: number }
  | { kind: 'transfer' }
  /** Remove the local snapshot; the upload then ends as `ends`. */
  | { kind: 'cleanup'; ends: 'Completed' | 'UploadFailedAfterRetry' }
  /** Abandon the session, remove the local snapshot, end as Canceled. */
  | { kind: 'abort' }

export function decideUpload(seen: UploadSeen, nowMs: number): UploadStep {
  switch (seen.phase) {
    case 'Completed':
    case 'Canceled':
    case 'UploadFailedAfterRetry':
      return { kind: 'nothing', why: `already ${seen.phase}` }
    case 'Canceling':
      return { kind: 'abort' }
    case 'New':
    case 'InProgress':
    case 'UploadError':
    case 'CleanupFailed':
      // A sealed backup is kept: the cancel comes too late, and only the clean-up is left.
      if (seen.cancelRequested && !seen.sealed && !seen.givenUp) return { kind: 'abort' }
      if (seen.nextRetryMs > nowMs) return { kind: 'wait', untilMs: seen.nextRetryMs }
      if (seen.sealed) return { kind: 'cleanup', ends: 'Completed' }
      if (seen.givenUp) return { kind: 'cleanup', ends: 'UploadFailedAfterRetry' }
      return { kind: 'transfer' }
    default:
      return unreachable(seen.phase)
  }
}

/** `snapshot`: the Snapshot that the Upload was made for, if its request to stop counts too. */
export function seeUpload(upload: Upload, snapshot?: Snapshot): UploadSeen {
  const status = upload.status ?? {}
  const known: UploadPhase = UPLOAD_PHASES.find((each) => each === status.phase) ?? 'New'
  const sealed = typeof status.root === 'string' && status.root !== ''
  // A user wrote `Completed` for a session that sealed nothing: there is no backup yet. Uploads of the Velero Plugin for vSphere have no
  // session.
  const isMadeUp = known === 'Completed' && !sealed && typeof status.session === 'string'
  const phase = isMadeUp ? 'InProgress' : known
  // Only a failed step waits for its retry time: the Velero Plugin for vSphere writes nextRetryTimestamp at creation already.
  const retries = phase === 'UploadError' || phase === 'CleanupFailed'
  return {
    phase,
    cancelRequested: asksToStop(upload) || ownerAsksToStop(upload, snapshot),
    sealed,
    givenUp: status.givenUp === true,
    nextRetryMs: retries ? Date.parse(status.nextRetryTimestamp ?? '') || 0 : 0,
  }
}

export function isUploadOver(phase: UploadPhase): boolean {
  return UPLOAD_NEXT[phase].length === 0
}

/** Label of an Upload that the snapshot function made: the UID of the Snapshot that it was made for. */
export const SNAPSHOT_UID_LABEL = 'dormouse.dev/snapshot-uid'
/** On an Upload that the snapshot function made: the name of the claim that was backed up. */
export const CLAIM_ANNOTATION = 'dormouse.dev/claim'

export const DEFAULT_UPLOAD_RETRY_MAX = 10
export const MAX_BACKOFF_UNITS = 60

/**
 * Units (minutes by default) to wait after the n-th failure (n from 1): 1, 2, 4 … 60, like the Velero Plugin for vSphere's
 * `currentBackOff`.
 */
export function uploadBackoffUnits(failures: number): number {
  return Math.min(MAX_BACKOFF_UNITS, 2 ** Math.min(failures - 1, 10))
}

/** `upload-cr-retry-max` of the ConfigMap velero-vsphere-plugin-config; the Velero Plugin for vSphere's default for any unusable value. */
export function uploadRetryMax(text: string | undefined): number {
  return text !== undefined && /^\d{1,4}$/.test(text) ? Number(text) : DEFAULT_UPLOAD_RETRY_MAX
}

const HOPELESS = [
  'SnapshotIDInvalid',
  'VolumeNotFound',
  'SnapshotNotFound',
  'SnapshotReferenceInvalid',
  'NotPermitted',
  'NamespaceNotAllowed',
]

/** Reasons that no retry of a transfer can fix: the Upload ends at once instead of after five hours. */
export function isHopelessTransfer(reason: string): boolean {
  return HOPELESS.includes(reason)
}

/** The time that an Upload needs to end and Velero to ask the plugin once more. After it, Velero would report only that the time was up. */
export const DEADLINE_MARGIN_MS = 5 * MINUTE_MS

/** `deadlineMs`: when Velero abandons the operation; undefined: never. */
export function isTooLate(nextAttemptMs: number, deadlineMs: number | undefined): boolean {
  return deadlineMs !== undefined && nextAttemptMs > deadlineMs - DEADLINE_MARGIN_MS
}
