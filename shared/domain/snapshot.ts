// The Snapshot's states: it takes a vSphere snapshot of the claim's disk, then follows its Upload.
//
//   New ──▶ Snapshotted ──▶ Uploading ⇄ UploadFailed ──▶ UploadFailedAfterRetry
//    │          │              ├──▶ Uploaded
//    │          │              ├──▶ CleanupAfterUploadFailed ──▶ Uploaded | UploadFailedAfterRetry
//    ▼          ▼              └──▶ Canceling ──▶ Canceled
//  SnapshotFailed, Canceled   (local mode ends at Snapshotted)

import { SNAPSHOT_PHASES, type Snapshot, type SnapshotPhase, type UploadPhase } from '#shared/api/types.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import { isClaimSnapshotId } from './ids.ts'
import { isBeingDeleted } from './step-label.ts'

const FOLLOWING = [
  'Uploading',
  'Uploaded',
  'UploadFailed',
  'UploadFailedAfterRetry',
  'Canceling',
  'Canceled',
  'CleanupAfterUploadFailed',
  // The Upload is gone and must be created again, but the claim or the disk is gone too.
  'SnapshotFailed',
] as const

/** The legal transitions, as data. `InProgress` is never written; one that a user wrote is treated as New. */
export const SNAPSHOT_NEXT = {
  New: ['New', 'Snapshotted', 'SnapshotFailed', 'Canceled'],
  InProgress: ['InProgress', 'Snapshotted', 'SnapshotFailed', 'Canceled'],
  Snapshotted: ['Snapshotted', ...FOLLOWING],
  Uploading: FOLLOWING,
  UploadFailed: FOLLOWING,
  CleanupAfterUploadFailed: FOLLOWING,
  Canceling: ['Canceling', 'Canceled'],
  SnapshotFailed: [],
  Uploaded: [],
  Canceled: [],
  UploadFailedAfterRetry: [],
} as const satisfies Record<SnapshotPhase, readonly SnapshotPhase[]>

type SnapshotSeen = {
  phase: SnapshotPhase
  cancelRequested: boolean
  beingDeleted: boolean
  /** No repository: the local snapshot is the backup. */
  localMode: boolean
}

export type SnapshotStep =
  | { kind: 'nothing'; why: string }
  /** Make the FCD snapshot, or find the one made before. */
  | { kind: 'snapshot' }
  /** The Upload exists or must be made; the status follows it. `cancel`: tell it to stop. */
  | { kind: 'follow'; cancel: boolean }
  | { kind: 'cancel' }

export function decideSnapshot(seen: SnapshotSeen): SnapshotStep {
  const cancel = seen.cancelRequested || seen.beingDeleted
  switch (seen.phase) {
    case 'SnapshotFailed':
    case 'Uploaded':
    case 'Canceled':
    case 'UploadFailedAfterRetry':
      return { kind: 'nothing', why: `already ${seen.phase}` }
    case 'New':
    case 'InProgress':
      return cancel ? { kind: 'cancel' } : { kind: 'snapshot' }
    case 'Snapshotted':
      return seen.localMode
        ? { kind: 'nothing', why: 'local mode: the snapshot is the backup' }
        : { kind: 'follow', cancel }
    case 'Uploading':
    case 'UploadFailed':
    case 'CleanupAfterUploadFailed':
    case 'Canceling':
      return { kind: 'follow', cancel }
    default:
      return unreachable(seen.phase)
  }
}

/**
 * The step for the object as it is. Dormouse writes the id together with the first phase that follows an Upload. Without the id, a user
 * wrote the phase, there is nothing to follow, and the work begins as for a new object.
 */
export function stepOfSnapshot(snapshot: Snapshot): SnapshotStep {
  const seen = seeSnapshot(snapshot)
  const step = decideSnapshot(seen)
  const isMadeUp = step.kind === 'follow' && !isClaimSnapshotId(snapshot.status?.snapshotID)
  return isMadeUp ? decideSnapshot({ ...seen, phase: 'New' }) : step
}

export function seeSnapshot(snapshot: Snapshot): SnapshotSeen {
  const phase = snapshot.status?.phase
  return {
    phase: SNAPSHOT_PHASES.find((known) => known === phase) ?? 'New',
    cancelRequested: snapshot.spec?.snapshotCancel === true,
    beingDeleted: isBeingDeleted(snapshot),
    localMode: snapshot.spec?.backupRepository === '',
  }
}

export function isSnapshotOver(phase: SnapshotPhase, localMode: boolean): boolean {
  return SNAPSHOT_NEXT[phase].length === 0 || (localMode && phase === 'Snapshotted')
}

/** The Snapshot has ended, and its data can be restored. */
export function isSnapshotWhole({ phase, localMode }: SnapshotSeen): boolean {
  return phase === 'Uploaded' || (localMode && phase === 'Snapshotted')
}

/** The mapping of the Velero Plugin for vSphere. An Upload that has not begun leaves the Snapshot at Snapshotted. */
export const SNAPSHOT_PHASE_OF_UPLOAD = {
  New: 'Snapshotted',
  InProgress: 'Uploading',
  Completed: 'Uploaded',
  UploadError: 'UploadFailed',
  CleanupFailed: 'CleanupAfterUploadFailed',
  Canceling: 'Canceling',
  Canceled: 'Canceled',
  UploadFailedAfterRetry: 'UploadFailedAfterRetry',
} as const satisfies Record<UploadPhase, SnapshotPhase>

/** The phase that the Snapshot should show. Its own phase if the table does not allow the transition (late or reordered events). */
export function followUpload(current: SnapshotPhase, upload: UploadPhase): SnapshotPhase {
  const wanted = SNAPSHOT_PHASE_OF_UPLOAD[upload]
  return (SNAPSHOT_NEXT[current] as readonly SnapshotPhase[]).includes(wanted) ? wanted : current
}
