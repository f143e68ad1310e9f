// The CloneFromSnapshot's states: a staged disk, a Download into it, then the hand-over to the claim the user asked for.
//
//   New ──▶ InProgress: provision ─▶ await binding ─▶ download ─▶ hand over ──▶ Completed
//    └────────┴──▶ Failed | Canceling ──▶ Canceled

import type { KubeObject } from '#shared/api/kinds.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import { type DownloadPhase, seeDownload } from './download.ts'
import { isBeingDeleted } from './step-label.ts'

export const CLONE_PHASES = ['New', 'InProgress', 'Retry', 'Completed', 'Failed', 'Canceling', 'Canceled'] as const
export type ClonePhase = (typeof CLONE_PHASES)[number]

export const CLONE_NEXT = {
  New: ['New', 'InProgress', 'Failed', 'Canceling'],
  InProgress: ['InProgress', 'Completed', 'Failed', 'Canceling'],
  Retry: ['InProgress', 'Completed', 'Failed', 'Canceling'],
  Canceling: ['Canceling', 'Canceled'],
  Canceled: [],
  Completed: [],
  Failed: [],
} as const satisfies Record<ClonePhase, readonly ClonePhase[]>

export type CloneSeen = {
  phase: ClonePhase
  cancelRequested: boolean
  /** The PV behind the staging claim, once it is bound. */
  stagedVolume: boolean
  downloadPhase: DownloadPhase | undefined
}

export type CloneStep =
  | { kind: 'nothing'; why: string }
  /** Make the staging claim, wait until the driver has bound it, record its volume. */
  | { kind: 'provision' }
  | { kind: 'startDownload' }
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
      if (!seen.stagedVolume) return { kind: 'provision' }
      return decideDownloadPart(seen.downloadPhase)
    default:
      return unreachable(seen.phase)
  }
}

function decideDownloadPart(phase: DownloadPhase | undefined): CloneStep {
  if (phase === undefined) return { kind: 'startDownload' }
  return phase === 'Failed' ? { kind: 'failWithDownload' } : { kind: 'awaitDownload' }
}

export function seeClone(clone: KubeObject, download: KubeObject | undefined): CloneSeen {
  const phase = clone['status']?.phase
  return {
    phase: CLONE_PHASES.includes(phase) ? phase : 'New',
    cancelRequested: clone['spec']?.cloneCancel === true || isBeingDeleted(clone),
    stagedVolume: typeof clone['status']?.volumeName === 'string' && clone['status'].volumeName !== '',
    downloadPhase: download === undefined ? undefined : seeDownload(download).phase,
  }
}

export function isCloneOver(phase: ClonePhase): boolean {
  return CLONE_NEXT[phase].length === 0
}
