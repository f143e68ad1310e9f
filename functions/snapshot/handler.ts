// Takes a vSphere snapshot of the claim's disk, records it in the Snapshot, and starts its Upload.

import type { Snapshot, StatusChangeOf } from '#shared/api/types.ts'
import { announce } from '#shared/controllers/announce.ts'
import {
  type Controller,
  isPassing,
  type Result,
  type Run,
  runStep,
  type Work,
} from '#shared/controllers/controller.ts'
import type { VolumeDeps } from '#shared/controllers/deps.ts'
import { markDone, overWith } from '#shared/controllers/outcome.ts'
import { ABORTS } from '#shared/controllers/work-lease.ts'
import { asksToStop } from '#shared/domain/cancel.ts'
import { encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { setCondition } from '#shared/domain/conditions.ts'
import { formatClaimSnapshotId, formatDiskId } from '#shared/domain/ids.ts'
import { isSnapshotOver, type SnapshotStep, seeSnapshot, stepOfSnapshot } from '#shared/domain/snapshot.ts'
import { BUSY_RETRY_UNITS } from '#shared/domain/waits.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { type DormouseError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { followUpload } from './follow.ts'
import { ensureSnapshot, ensureUpload, removeTaken, requireRepository } from './take.ts'
import { isOverdue, startedMs } from './told-task.ts'
import { resolveTarget } from './volume.ts'

const SNAPSHOT: Controller<'Snapshot', VolumeDeps, SnapshotStep> = {
  kind: 'Snapshot',
  decide: (_deps, snapshot) => stepOfSnapshot(snapshot),
  actions: {
    nothing: { atOnce: rest },
    follow: { atOnce: follow },
    snapshot: { act: takeSnapshot },
    cancel: { act: cancel },
  },
  failed: recordFailure,
  mustStop: ({ object }, { kind }) => kind === 'snapshot' && asksToStop(object),
  goesOn: ({ object }, { kind }) => kind === 'snapshot' && asksToStop(object) && !isOver(object),
}

/** One delivery does at most one step. Idempotent, and safe in any order: it trusts the object, never the event. */
export async function handleSnapshot(
  _context: Context,
  ref: ObjectRef,
  deps: VolumeDeps,
  signal: AbortSignal,
): Promise<string> {
  return await runStep(SNAPSHOT, deps, ref, signal)
}

async function rest({ deps, object }: Run<'Snapshot', VolumeDeps>, { why }: { why: string }): Promise<string> {
  await markDone(deps, 'Snapshot', object)
  return why
}

/**
 * The disk snapshot that the status names may belong to another object, because a user may have written the status. The work then begins as
 * if the status were empty.
 */
async function follow(
  { deps, object, signal }: Run<'Snapshot', VolumeDeps>,
  step: { cancel: boolean },
): Promise<string | SnapshotStep> {
  const followed = await followUpload(deps, object, step.cancel, signal)
  return followed ?? { kind: step.cancel ? 'cancel' : 'snapshot' }
}

function isOver(snapshot: Snapshot): boolean {
  const { phase, localMode } = seeSnapshot(snapshot)
  return isSnapshotOver(phase, localMode)
}

/** A quota may have room again. */
const MAY_PASS = ['QuotaExceeded']

/** The phase Canceled is written only when nothing is left in vCenter. Until then, the status gives the reason for the delay. */
async function recordFailure(
  work: Work<'Snapshot', VolumeDeps>,
  error: Error,
  { kind }: SnapshotStep,
): Promise<Result<'Snapshot'>> {
  if (kind === 'cancel' && (isPassing(error, MAY_PASS) || error instanceof TerminalError)) return waitAgain(work, error)
  if (isPassing(error, MAY_PASS)) return await busy(work, error)
  if (error instanceof TerminalError) return await endAsFailed(work, error.reason, error.message)
  throw error
}

/** Finds or makes the FCD snapshot, writes Snapshotted, and only then creates the Upload, whose name contains the snapshot's id. */
async function takeSnapshot({ deps, lease }: Work<'Snapshot', VolumeDeps>): Promise<Result<'Snapshot'>> {
  const snapshot = lease.latest()
  const target = await resolveTarget(deps, snapshot)
  await requireRepository(deps, snapshot)
  const disk = await ensureSnapshot(deps, lease, target.fcdId)
  if (disk === undefined) {
    requireInTime(deps, lease.latest())
    return { outcome: { status: {}, step: 'waiting', dueAtMs: soon(deps) }, why: 'vCenter is still at it' }
  }
  const metadata = encodeClaimMetadata(target.claim)
  const namespace = snapshot.metadata.namespace ?? ''
  const snapshotID = formatClaimSnapshotId({
    namespace,
    claim: target.claim.metadata.name,
    disk,
  })
  const localMode = snapshot.spec.backupRepository === ''
  const conditions = setCondition(
    snapshot.status?.conditions,
    {
      type: 'Snapshotted',
      status: 'True',
      reason: 'LocalSnapshotTaken',
      message: 'the disk snapshot exists in vCenter',
    },
    deps.clock.nowMs(),
  )
  const status: StatusChangeOf<'Snapshot'> = {
    phase: 'Snapshotted',
    message: localMode ? 'the snapshot stays in vCenter (local mode)' : 'the snapshot waits for its upload',
    reason: 'LocalSnapshotTaken',
    snapshotID,
    metadata,
    svcSnapshotName: '',
    volumeID: formatDiskId(target.fcdId),
    task: null,
    conditions,
    ...(localMode ? { completionTimestamp: rfc3339(deps.clock.nowMs()) } : { uploadName: `upload-${disk.snapshotId}` }),
  }
  await lease.patchStatus(status)
  await announce(deps, snapshot, 'Normal', 'LocalSnapshotTaken', `took a snapshot of disk ${target.fcdId}`)
  if (localMode) return { outcome: overWith({}), why: 'snapshotted (local mode)' }
  // Uses the object as it was checked: a user's edit since then may name a repository that this namespace may not use.
  await ensureUpload(deps, snapshot, disk, target.volume)
  // The status is not written again: the Upload may have written a later phase into it by now.
  return { outcome: { status: {}, step: 'waiting' }, why: 'snapshotted' }
}

async function cancel({ deps, lease }: Work<'Snapshot', VolumeDeps>): Promise<Result<'Snapshot'>> {
  await removeTaken(deps, lease.latest(), lease.signal)
  const status: StatusChangeOf<'Snapshot'> = {
    phase: 'Canceled',
    message: 'cancelled before the snapshot was taken',
    reason: 'Canceled',
    completionTimestamp: rfc3339(deps.clock.nowMs()),
  }
  return { outcome: overWith(status), why: 'cancelled' }
}

/** Ends the wait for a task that vCenter reports as running for ever. */
function requireInTime(deps: VolumeDeps, snapshot: Snapshot): void {
  if (!isOverdue(deps, snapshot)) return
  const seconds = deps.settings.snapshotTimeoutMs / SECOND_MS
  throw new TerminalError('SnapshotTimedOut', `vCenter has not finished the disk snapshot within ${seconds} s`)
}

/** A failed Snapshot leaves nothing in vCenter. While vCenter cannot remove the disk snapshot, the failure waits. */
async function endAsFailed(
  work: Work<'Snapshot', VolumeDeps>,
  reason: string,
  message: string,
): Promise<Result<'Snapshot'>> {
  const { deps, lease } = work
  try {
    await removeTaken(deps, lease.latest(), lease.signal)
  } catch (error) {
    const wasStarted = lease.latest().status?.task !== undefined
    if (wasStarted && isPassing(error, MAY_PASS)) return waitAgain(work, error)
    if (!(error instanceof TerminalError) && !isPassing(error, MAY_PASS)) throw error
  }
  const nowMs = deps.clock.nowMs()
  const snapshot = lease.latest()
  const conditions = setCondition(
    snapshot.status?.conditions,
    { type: 'Snapshotted', status: 'False', reason, message },
    nowMs,
  )
  const status: StatusChangeOf<'Snapshot'> = {
    phase: 'SnapshotFailed',
    reason,
    message,
    completionTimestamp: rfc3339(nowMs),
    task: null,
    conditions,
  }
  return { outcome: overWith(status), why: `failed: ${reason}`, event: ['Warning', reason, message] }
}

/** vCenter is busy or unreachable: retry soon, and give up when the documented time since the start is over. */
async function busy(work: Work<'Snapshot', VolumeDeps>, error: DormouseError): Promise<Result<'Snapshot'>> {
  const { deps, lease } = work
  const limitMs = deps.settings.snapshotTimeoutMs
  if (lease.signal.reason !== ABORTS.shutdown && isOverdue(deps, lease.latest())) {
    const message = `no snapshot within ${limitMs / SECOND_MS} s: ${error.message}`
    return await endAsFailed(work, error.reason, message)
  }
  return waitAgain(work, error)
}

function waitAgain(
  { deps, lease }: Work<'Snapshot', VolumeDeps>,
  { reason, message }: DormouseError,
): Result<'Snapshot'> {
  const nowMs = deps.clock.nowMs()
  const snapshot = lease.latest()
  const waiting = { type: 'Snapshotted', status: 'False', reason, message } as const
  // A task that still runs is polled further: a new task would make a second snapshot.
  const taskIsOver = reason === 'TaskFailed' || reason === 'TaskNotFound'
  const status: StatusChangeOf<'Snapshot'> = {
    phase: 'New',
    reason,
    message,
    startTimestamp: rfc3339(startedMs(deps, snapshot)),
    ...(taskIsOver ? { task: null } : {}),
    conditions: setCondition(snapshot.status?.conditions, waiting, nowMs),
  }
  return { outcome: { status, step: 'waiting', dueAtMs: soon(deps) }, why: `busy: ${reason}` }
}

function soon({ clock, settings }: VolumeDeps): number {
  return clock.nowMs() + BUSY_RETRY_UNITS * settings.backoffUnitMs
}
