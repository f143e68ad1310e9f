// How far a backup's operation is, from the objects alone: the Upload once there is one, before that the Snapshot.

import type { KubeObject } from '#shared/api/kinds.ts'
import { clip } from '#shared/domain/conditions.ts'
import { isSnapshotOver, type SnapshotPhase, seeSnapshot } from '#shared/domain/snapshot.ts'
import { seeUpload, type UploadPhase } from '#shared/domain/upload.ts'

export type OperationState = {
  completed: boolean
  error: string
  nCompleted: number
  nTotal: number
  operationUnits: string
  description: string
  startedMs: number | undefined
  updatedMs: number | undefined
}

type Outcome = 'running' | 'succeeded' | 'failed'

/** Only what nothing follows is an end: UploadError is tried again, CleanupFailed still holds the disk snapshot. */
export const UPLOAD_OUTCOME = {
  New: 'running',
  InProgress: 'running',
  UploadError: 'running',
  CleanupFailed: 'running',
  Canceling: 'running',
  Canceled: 'failed',
  Completed: 'succeeded',
  UploadFailedAfterRetry: 'failed',
} as const satisfies Record<UploadPhase, Outcome>

/** While there is no Upload, or when its record has been collected. */
export const SNAPSHOT_OUTCOME = {
  New: 'running',
  InProgress: 'running',
  Snapshotted: 'running',
  SnapshotFailed: 'failed',
  Uploading: 'running',
  Uploaded: 'succeeded',
  UploadFailed: 'running',
  UploadFailedAfterRetry: 'failed',
  CleanupAfterUploadFailed: 'running',
  Canceling: 'running',
  Canceled: 'failed',
} as const satisfies Record<SnapshotPhase, Outcome>

const MAX_DESCRIPTION_CHARS = 256
const MAX_ERROR_CHARS = 2048

/** `upload`: the one that the Snapshot names; another's is not looked at. */
export function operationState(snapshot: KubeObject, upload: KubeObject | undefined, nowMs: number): OperationState {
  const own = upload !== undefined && isUploadOf(upload, snapshot) ? upload : undefined
  const shown = own ?? snapshot
  const outcome = outcomeOf(snapshot, own)
  const { nCompleted, nTotal } = bytesOf(own, snapshot, outcome)
  return {
    completed: outcome !== 'running',
    error: outcome === 'failed' ? errorOf(shown) : '',
    nCompleted,
    nTotal,
    operationUnits: 'bytes',
    description: descriptionOf(shown),
    startedMs: timeOf(snapshot['status']?.startTimestamp) ?? timeOf(snapshot.metadata.creationTimestamp) ?? nowMs,
    updatedMs: (outcome === 'running' ? undefined : timeOf(shown['status']?.completionTimestamp)) ?? nowMs,
  }
}

/** For an operation of which nothing is known any more. */
export function failedOperation(error: string, nowMs: number): OperationState {
  return { ...unknownOperation(error, nowMs), completed: true, error: error.slice(0, MAX_ERROR_CHARS) }
}

/** For a passing trouble: Velero asks again, and the deadline is its own. */
export function unknownOperation(why: string, nowMs: number): OperationState {
  const description = why.slice(0, MAX_DESCRIPTION_CHARS)
  const bytes = { nCompleted: 0, nTotal: 0, operationUnits: 'bytes' }
  return { completed: false, error: '', ...bytes, description, startedMs: undefined, updatedMs: nowMs }
}

/** Nothing follows for it, so there is nothing to stop. */
export function isSnapshotEnded(snapshot: KubeObject): boolean {
  const { phase, localMode } = seeSnapshot(snapshot)
  return isSnapshotOver(phase, localMode)
}

function isUploadOf(upload: KubeObject, { metadata }: KubeObject): boolean {
  return upload['spec']?.snapshotReference === `${metadata.namespace}/${metadata.name}`
}

function outcomeOf(snapshot: KubeObject, upload: KubeObject | undefined): Outcome {
  if (upload !== undefined) return UPLOAD_OUTCOME[seeUpload(upload).phase]
  const { phase, localMode } = seeSnapshot(snapshot)
  return localMode && phase === 'Snapshotted' ? 'succeeded' : SNAPSHOT_OUTCOME[phase]
}

function bytesOf(
  upload: KubeObject | undefined,
  snapshot: KubeObject,
  outcome: Outcome,
): { nCompleted: number; nTotal: number } {
  const progress = upload?.['status']?.progress?.totalBytes === undefined ? snapshot : upload
  const { totalBytes, bytesDone } = progress['status']?.progress ?? {}
  const nTotal = byteCount(totalBytes)
  return { nTotal, nCompleted: outcome === 'succeeded' ? nTotal : Math.min(byteCount(bytesDone), nTotal) }
}

function byteCount(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0
}

function errorOf(object: KubeObject): string {
  const { phase, reason, message } = object['status'] ?? {}
  const said = [reason, message].filter((part) => typeof part === 'string' && part !== '').join(': ')
  return clip(`${object.kind} ${placeOf(object)} is ${phase}: ${said || 'no reason was given'}`).slice(
    0,
    MAX_ERROR_CHARS,
  )
}

function descriptionOf(object: KubeObject): string {
  const { phase, reason, progress } = object['status'] ?? {}
  const parts = [`${object.kind} ${phase || 'New'}`, reason, progress?.summary]
  return parts
    .filter((part) => typeof part === 'string' && part !== '')
    .join(', ')
    .slice(0, MAX_DESCRIPTION_CHARS)
}

function placeOf({ metadata }: KubeObject): string {
  return `${metadata.namespace}/${metadata.name}`
}

function timeOf(text: unknown): number | undefined {
  const ms = typeof text === 'string' ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}
