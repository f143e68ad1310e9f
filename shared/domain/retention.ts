// How long ended records are kept, and how long a deletion may wait. Neither ever touches a backup (docs/design/0002-ends.md).

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Lease, SteppedObject } from '#shared/api/types.ts'
import { isOlderThan } from '#shared/kernel/clock.ts'
import { leaseState } from './lease.ts'
import { seeSnapshot } from './snapshot.ts'
import { holdsFinalizer, isBeingDeleted, isStepped, stepOf } from './step-label.ts'
import { isOver } from './sweep.ts'

type RecordDecision =
  | { kind: 'keep'; why: string }
  /** The record has no end time (a user set its phase), or one in the future (a clock was ahead): write one now. */
  | { kind: 'stamp' }
  | { kind: 'collect' }

const COLLECTED = ['Snapshot', 'Upload', 'Download', 'CloneFromSnapshot', 'DeleteSnapshot']

/**
 * `owner`: the Snapshot of an Upload, or the CloneFromSnapshot of a Download. While the owner has not ended, it still has to read the
 * result from this record. `retentionMs` 0: records are kept for ever.
 */
export function decideRecord(
  object: SteppedObject,
  owner: SteppedObject | undefined,
  nowMs: number,
  retentionMs: number,
): RecordDecision {
  if (retentionMs === 0 || !COLLECTED.includes(object.kind)) return { kind: 'keep', why: 'kept for ever' }
  if (!isOver(object) || stepOf(object) !== 'done') return { kind: 'keep', why: 'not over' }
  if (holdsFinalizer(object) || isBeingDeleted(object)) return { kind: 'keep', why: 'its finalizer is still to go' }
  if (isKeptInVcenter(object)) return { kind: 'keep', why: 'the only record of a backup that is kept in vCenter' }
  if (owner !== undefined && !isOver(owner)) return { kind: 'keep', why: 'its owner has not seen its end yet' }
  const endedMs = Date.parse(endOf(object) ?? '')
  if (Number.isNaN(endedMs)) return { kind: 'stamp' }
  if (!isOlderThan(retentionMs, endedMs, nowMs)) return { kind: 'keep', why: 'it ended not long ago' }
  return { kind: endedMs > nowMs ? 'stamp' : 'collect' }
}

function endOf(object: SteppedObject): string | null | undefined {
  return object.kind === 'BackupRepositoryClaim' ? undefined : object.status?.completionTimestamp
}

/** Local mode: the disk snapshot is the backup, and only this object names it. */
export function isKeptInVcenter(object: SteppedObject): boolean {
  if (object.kind !== 'Snapshot') return false
  const { phase, localMode } = seeSnapshot(object)
  return localMode && phase === 'Snapshotted'
}

/**
 * True if a deletion has waited for its clean-up for as long as it may, and no process works on it now. The finalizer is then removed, so
 * that no namespace is stuck for ever. The orphan sweep finds what is left in vCenter, and prune what is left in the bucket.
 */
export function isDeletionOverdue(
  object: KubeObject,
  lease: Lease | undefined,
  nowMs: number,
  deadlineMs: number,
): boolean {
  if (!holdsFinalizer(object) || !isStepped(object)) return false
  const sinceMs = Date.parse(object.metadata.deletionTimestamp ?? '')
  if (!isOlderThan(deadlineMs, sinceMs, nowMs)) return false
  return leaseState(lease, '', nowMs) !== 'held'
}

/** Worth a closer look: the object has ended, or its deletion is overdue. */
export function mayEnd(
  object: SteppedObject,
  nowMs: number,
  limits: { recordRetentionMs: number; finalizerDeadlineMs: number },
): boolean {
  if (isDeletionOverdue(object, undefined, nowMs, limits.finalizerDeadlineMs)) return true
  const { kind } = decideRecord(object, undefined, nowMs, limits.recordRetentionMs)
  return kind !== 'keep'
}
