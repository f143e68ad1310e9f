// Progress of an operation, from the objects alone: a backup's Upload once it exists, before that its Snapshot; a restore's clone.

import type { KubeObject } from '#shared/api/kinds.ts'
import type {
  CloneFromSnapshot,
  CloneFromSnapshotPhase,
  Snapshot,
  SnapshotPhase,
  Upload,
  UploadPhase,
} from '#shared/api/types.ts'
import { isCloneOver, seeClone } from '#shared/domain/clone.ts'
import { clip } from '#shared/domain/conditions.ts'
import { isSnapshotOver, seeSnapshot } from '#shared/domain/snapshot.ts'
import { seeUpload } from '#shared/domain/upload.ts'
import { beginning } from '#shared/kernel/cut.ts'

type OperationState = {
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

/** Only phases without a successor are an end: UploadError is retried, CleanupFailed still holds the disk snapshot. */
const UPLOAD_OUTCOME = {
  New: 'running',
  InProgress: 'running',
  UploadError: 'running',
  CleanupFailed: 'running',
  Canceling: 'running',
  Canceled: 'failed',
  Completed: 'succeeded',
  UploadFailedAfterRetry: 'failed',
} as const satisfies Record<UploadPhase, Outcome>

/** While there is no Upload, or after its record was deleted. */
const SNAPSHOT_OUTCOME = {
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

/** For a restore: the clone's status holds the bytes of its Download. */
const CLONE_OUTCOME = {
  New: 'running',
  InProgress: 'running',
  Retry: 'running',
  Canceling: 'running',
  Canceled: 'failed',
  Completed: 'succeeded',
  Failed: 'failed',
} as const satisfies Record<CloneFromSnapshotPhase, Outcome>

/** `upload`: the one that the Snapshot names; any other is ignored. */
export function operationState(snapshot: Snapshot, upload: Upload | undefined, nowMs: number): OperationState {
  const own = upload !== undefined && isUploadOf(upload, snapshot) ? upload : undefined
  const counted = own?.status?.progress?.totalBytes === undefined ? snapshot : own
  return stateOf({ begun: snapshot, shown: own ?? snapshot, counted, outcome: outcomeOf(snapshot, own), nowMs })
}

export function restoreState(clone: CloneFromSnapshot, nowMs: number): OperationState {
  const outcome = CLONE_OUTCOME[seeClone(clone, undefined).phase]
  return stateOf({ begun: clone, shown: clone, counted: clone, outcome, nowMs })
}

/** `begun`: the object whose times are the operation's; `shown`: whose phase and reason are shown; `counted`: whose bytes are counted. */
type Told = Snapshot | Upload | CloneFromSnapshot
type Seen = { begun: Told; shown: Told; counted: Told; outcome: Outcome; nowMs: number }

function stateOf({ begun, shown, counted, outcome, nowMs }: Seen): OperationState {
  return {
    completed: outcome !== 'running',
    error: outcome === 'failed' ? errorOf(shown) : '',
    ...bytesOf(counted, outcome),
    operationUnits: 'bytes',
    description: descriptionOf(shown),
    startedMs: timeOf(begun.status?.startTimestamp) ?? timeOf(begun.metadata.creationTimestamp) ?? nowMs,
    updatedMs: (outcome === 'running' ? undefined : timeOf(shown.status?.completionTimestamp)) ?? nowMs,
  }
}

/** For an operation whose objects no longer exist. */
export function failedOperation(error: string, nowMs: number): OperationState {
  return { ...unknownOperation(error, nowMs), completed: true, error: beginning(error, MAX_ERROR_CHARS) }
}

/** For a transient error: Velero asks again, and ends the operation by its own deadline. */
export function unknownOperation(why: string, nowMs: number): OperationState {
  const description = beginning(why, MAX_DESCRIPTION_CHARS)
  const bytes = { nCompleted: 0, nTotal: 0, operationUnits: 'bytes' }
  return { completed: false, error: '', ...bytes, description, startedMs: undefined, updatedMs: nowMs }
}

/** True: no further work follows, so there is nothing to stop. */
export function isSnapshotEnded(snapshot: Snapshot): boolean {
  const { phase, localMode } = seeSnapshot(snapshot)
  return isSnapshotOver(phase, localMode)
}

export function isCloneEnded(clone: CloneFromSnapshot): boolean {
  return isCloneOver(seeClone(clone, undefined).phase)
}

function isUploadOf(upload: Upload, { metadata }: KubeObject): boolean {
  return upload.spec?.snapshotReference === `${metadata.namespace}/${metadata.name}`
}

function outcomeOf(snapshot: Snapshot, upload: Upload | undefined): Outcome {
  if (upload !== undefined) return UPLOAD_OUTCOME[seeUpload(upload).phase]
  const { phase, localMode } = seeSnapshot(snapshot)
  return localMode && phase === 'Snapshotted' ? 'succeeded' : SNAPSHOT_OUTCOME[phase]
}

function bytesOf(counted: Told, outcome: Outcome): { nCompleted: number; nTotal: number } {
  const { totalBytes, bytesDone } = counted.status?.progress ?? {}
  const nTotal = byteCount(totalBytes)
  return { nTotal, nCompleted: outcome === 'succeeded' ? nTotal : Math.min(byteCount(bytesDone), nTotal) }
}

function byteCount(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0
}

function errorOf(object: Told): string {
  const { phase, reason, message } = object.status ?? {}
  const said = [reason, message].filter((part) => typeof part === 'string' && part !== '').join(': ')
  return clip(`${object.kind} ${placeOf(object)} is ${phase}: ${said || 'no reason was given'}`)
}

function descriptionOf(object: Told): string {
  const { phase, reason, progress } = object.status ?? {}
  const parts = [`${object.kind} ${phase || 'New'}`, reason, progress?.summary]
  const said = parts.filter((part) => typeof part === 'string' && part !== '').join(', ')
  return beginning(said, MAX_DESCRIPTION_CHARS)
}

function placeOf({ metadata }: KubeObject): string {
  return `${metadata.namespace}/${metadata.name}`
}

function timeOf(text: unknown): number | undefined {
  const ms = typeof text === 'string' ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}
