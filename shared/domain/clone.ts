// The CloneFromSnapshot's states: a staged disk, a Download into it, then the hand-over to the claim the user asked for.
//
//   New ──▶ InProgress: provision ─▶ await binding ─▶ download ─▶ hand over ──▶ Completed
//    └────────┴──▶ Failed | Canceling ──▶ Canceled

import {
  CLONE_FROM_SNAPSHOT_PHASES,
  type CloneFromSnapshot,
  type CloneFromSnapshotPhase,
  type Download,
  type DownloadPhase,
} from '#shared/api/types.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import { neededBytes } from './backed-up.ts'
import { seeDownload } from './download.ts'
import { isHandingOver } from './staged-volume.ts'
import { isDownloadOf } from './staging.ts'
import { isBeingDeleted } from './step-label.ts'

export const CLONE_NEXT = {
  New: ['New', 'InProgress', 'Failed', 'Canceling'],
  InProgress: ['InProgress', 'Completed', 'Failed', 'Canceling'],
  Retry: ['InProgress', 'Completed', 'Failed', 'Canceling'],
  Canceling: ['Canceling', 'Canceled'],
  Canceled: [],
  Completed: [],
  Failed: [],
} as const satisfies Record<CloneFromSnapshotPhase, readonly CloneFromSnapshotPhase[]>

type CloneSeen = {
  phase: CloneFromSnapshotPhase
  cancelRequested: boolean
  downloadPhase: DownloadPhase | undefined
  /** The Download failed because its disk was too small, and reports the size of the backup. */
  needsLarger: boolean
}

export type CloneStep =
  | { kind: 'nothing'; why: string }
  /**
   * Make the staging claim, wait until the driver has bound it, prove that its volume is new, make the Download. After a Download whose
   * disk was too small, do all of it once more.
   */
  | { kind: 'provision' }
  | { kind: 'awaitDownload' }
  | { kind: 'handOver' }
  | { kind: 'failWithDownload' }
  | { kind: 'abort' }

export function decideClone(seen: CloneSeen): CloneStep {
  switch (seen.phase) {
    case 'Completed':
    case 'Failed':
    case 'Canceled':
      return { kind: 'nothing', why: `already ${seen.phase}` }
    case 'Canceling':
      return { kind: 'abort' }
    case 'New':
    case 'InProgress':
    case 'Retry':
      if (seen.downloadPhase === 'Completed') return { kind: 'handOver' } // too late to cancel: the data is whole
      if (seen.cancelRequested) return { kind: 'abort' }
      return decideDownloadPart(seen)
    default:
      return unreachable(seen.phase)
  }
}

function decideDownloadPart({ downloadPhase: phase, needsLarger }: CloneSeen): CloneStep {
  if (phase === undefined || needsLarger) return { kind: 'provision' }
  return phase === 'Failed' ? { kind: 'failWithDownload' } : { kind: 'awaitDownload' }
}

/**
 * A Download of another clone says nothing about this one. While the volume is being handed over, no phase counts as an end, because a user
 * may have written it.
 */
export function seeClone(clone: CloneFromSnapshot, found: Download | undefined): CloneSeen {
  const download = found !== undefined && isDownloadOf(found, clone) ? found : undefined
  const phase = isHandingOver(download) ? 'InProgress' : clone.status?.phase
  return {
    phase: CLONE_FROM_SNAPSHOT_PHASES.find((known) => known === phase) ?? 'New',
    cancelRequested: clone.spec?.cloneCancel === true || isBeingDeleted(clone),
    downloadPhase: download === undefined ? undefined : seeDownload(download).phase,
    needsLarger: neededBytes(download) !== undefined,
  }
}

export function isCloneOver(phase: CloneFromSnapshotPhase): boolean {
  return CLONE_NEXT[phase].length === 0
}
