// The Download's states: writes a backup into a staged disk that no user's claim is bound to.
//
//   New ──▶ InProgress ──▶ Completed
//             │  ▲
//             ▼  │ 5 min
//            Retry ──(six retries)──▶ Failed ◀──(cancel, hopeless)── any unfinished

import { type CloneFromSnapshot, DOWNLOAD_PHASES, type Download, type DownloadPhase } from '#shared/api/types.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import { asksToStop, ownerAsksToStop } from './cancel.ts'
import { isTrue } from './conditions.ts'
import { isDownloadOf, STAGED_ANNOTATION } from './staging.ts'

export const DOWNLOAD_NEXT = {
  New: ['New', 'InProgress', 'Retry', 'Failed'],
  InProgress: ['InProgress', 'Completed', 'Retry', 'Failed'],
  Retry: ['Retry', 'InProgress', 'Failed'],
  Completed: [],
  Failed: [],
} as const satisfies Record<DownloadPhase, readonly DownloadPhase[]>

export type DownloadSeen = { phase: DownloadPhase; cancelRequested: boolean; nextRetryMs: number }

export type DownloadStep =
  | { kind: 'nothing'; why: string }
  | { kind: 'wait'; untilMs: number }
  | { kind: 'transfer' }
  /** End as Failed with the reason Canceled. */
  | { kind: 'cancel' }

export function decideDownload(seen: DownloadSeen, nowMs: number): DownloadStep {
  switch (seen.phase) {
    case 'Completed':
    case 'Failed':
      return { kind: 'nothing', why: `already ${seen.phase}` }
    case 'New':
    case 'InProgress':
    case 'Retry':
      if (seen.cancelRequested) return { kind: 'cancel' }
      return seen.nextRetryMs > nowMs ? { kind: 'wait', untilMs: seen.nextRetryMs } : { kind: 'transfer' }
    default:
      return unreachable(seen.phase)
  }
}

/** `clone`: the CloneFromSnapshot that it was made for; undefined: it was not read. */
export function seeDownload(download: Download, clone?: CloneFromSnapshot | 'gone'): DownloadSeen {
  const status = download.status ?? {}
  const known: DownloadPhase = DOWNLOAD_PHASES.find((each) => each === status.phase) ?? 'New'
  const phase = known === 'Completed' && isMadeUp(download) ? 'InProgress' : known
  return {
    phase,
    cancelRequested: asksToStop(download) || cloneAsksToStop(download, clone),
    nextRetryMs: phase === 'Retry' ? Date.parse(status.nextRetryTimestamp ?? '') || 0 : 0,
  }
}

/**
 * No function would hand over a staged disk whose clone was removed by force or has ended. The Download stops, and the disk goes with its
 * claim.
 */
function cloneAsksToStop(download: Download, clone: CloneFromSnapshot | 'gone' | undefined): boolean {
  if (clone === 'gone') return fillsStagedDisk(download)
  return (
    ownerAsksToStop(download, clone) || (clone !== undefined && fillsStagedDisk(download) && isLeft(download, clone))
  )
}

/** The clone has ended, or another clone has its name. */
function isLeft(download: Download, clone: CloneFromSnapshot): boolean {
  const hasEnded = ['Completed', 'Failed', 'Canceled'].includes(clone.status?.phase ?? '')
  return hasEnded || !isDownloadOf(download, clone)
}

function fillsStagedDisk(download: Download): boolean {
  return download.metadata.annotations?.[STAGED_ANNOTATION] !== undefined
}

/**
 * `Completed` without its condition was written by hand: if it were trusted, half a disk would be handed over. Downloads of the Velero
 * Plugin for vSphere have no conditions, and fill no staged disk.
 */
function isMadeUp(download: Download): boolean {
  return fillsStagedDisk(download) && !isTrue(download.status?.conditions, 'Downloaded')
}

export function isDownloadOver(phase: DownloadPhase): boolean {
  return DOWNLOAD_NEXT[phase].length === 0
}

/** Like the Velero Plugin for vSphere: seven attempts, five units (of a minute by default) apart. */
export const DOWNLOAD_RETRIES = 6
export const DOWNLOAD_RETRY_UNITS = 5

const HOPELESS = [
  'SnapshotIDInvalid',
  'VolumeNotFound',
  'TargetTooSmall',
  'BackupNotFound',
  'NotPermitted',
  'NamespaceNotAllowed',
]

export function isHopelessDownload(reason: string): boolean {
  return HOPELESS.includes(reason)
}
