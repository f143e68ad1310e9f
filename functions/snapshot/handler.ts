// Takes a vSphere snapshot of the claim's disk, names it in the Snapshot, and starts its Upload.

import type { KubeObject } from '#shared/api/kinds.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { VolumeDeps } from '#shared/controllers/deps.ts'
import { markDone, type Outcome, writeOutcome } from '#shared/controllers/outcome.ts'
import { ABORTS, type WorkLease, withWorkLease } from '#shared/controllers/work-lease.ts'
import { asksToStop } from '#shared/domain/cancel.ts'
import { encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { setCondition } from '#shared/domain/conditions.ts'
import { formatClaimSnapshotId, formatDiskId } from '#shared/domain/ids.ts'
import { isSnapshotOver, seeSnapshot, stepOfSnapshot } from '#shared/domain/snapshot.ts'
import { stepPatch, withFinalizer } from '#shared/domain/step-label.ts'
import { BUSY_RETRY_UNITS } from '#shared/domain/waits.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { type DormouseError, isApiTrouble, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { followUpload } from './follow.ts'
import { ensureSnapshot, ensureUpload, removeTaken, requireRepository } from './take.ts'
import { isOverdue, startedMs } from './told-task.ts'
import { resolveTarget } from './volume.ts'

/** One delivery does at most one step. Safe twice and in any order: it trusts the object, never the event. */
export async function handleSnapshot(
  context: Context,
  ref: ObjectRef,
  deps: VolumeDeps,
  signal: AbortSignal,
): Promise<string> {
  const snapshot = await deps.cluster.read('Snapshot', ref.namespace, ref.name)
  if (snapshot === undefined) return 'gone'
  const step = stepOfSnapshot(snapshot)
  switch (step.kind) {
    case 'nothing':
      await markDone(deps, 'Snapshot', snapshot)
      return step.why
    case 'follow': {
      const followed = await followUpload(deps, snapshot, step.cancel, signal)
      // What its status names is not its own: somebody wrote it by hand, and the work begins where it would have.
      return followed ?? (await underClaim(context, deps, snapshot, step.cancel ? 'cancel' : 'snapshot', signal))
    }
    case 'snapshot':
    case 'cancel':
      return await underClaim(context, deps, snapshot, step.kind, signal)
    default:
      return unreachable(step)
  }
}

async function underClaim(
  context: Context,
  deps: VolumeDeps,
  snapshot: KubeObject,
  kind: 'snapshot' | 'cancel',
  signal: AbortSignal,
): Promise<string> {
  const claimed = await withWorkLease(
    deps,
    {
      kind: 'Snapshot',
      object: snapshot,
      firstPatch: { metadata: { ...stepPatch('running'), finalizers: withFinalizer(snapshot) } },
      isCancelled: (object) => kind === 'snapshot' && asksToStop(object),
      signal,
    },
    (lease) => (kind === 'cancel' ? cancelOrWait(deps, lease) : snapshotOrFail(deps, lease)),
  )
  if (claimed.held) return 'claimed elsewhere'
  const written = await writeOutcome(deps, 'Snapshot', claimed.object, claimed.value.outcome)
  // What was asked for while it was at work (a cancel) would wake nobody now: it is decided on the fresh object, right away.
  if (kind === 'cancel' || signal.aborted || !asksToStop(written) || isOver(written)) return claimed.value.why
  return await handleSnapshot(context, { kind: 'Snapshot', ...placeOf(written) }, deps, signal)
}

function isOver(snapshot: KubeObject): boolean {
  const { phase, localMode } = seeSnapshot(snapshot)
  return isSnapshotOver(phase, localMode)
}

function placeOf({ metadata }: KubeObject): { namespace: string | undefined; name: string } {
  return { namespace: metadata.namespace, name: metadata.name }
}

type Result = { outcome: Outcome; why: string }

async function snapshotOrFail(deps: VolumeDeps, lease: WorkLease): Promise<Result> {
  try {
    return await takeSnapshot(deps, lease)
  } catch (error) {
    if (isPassing(error)) return await busy(deps, lease, error)
    if (error instanceof TerminalError) return await failed(deps, lease, error.reason, error.message)
    throw error
  }
}

/** A right that is missing may be granted, and a quota may have room again; trouble of the Kubernetes API itself is answered with 503 instead. */
function isPassing(error: unknown): error is DormouseError {
  if (error instanceof RetryableError) return !isApiTrouble(error)
  return error instanceof TerminalError && (error.reason === 'Forbidden' || error.reason === 'QuotaExceeded')
}

/** Finds or makes the FCD snapshot, writes Snapshotted, and only then creates the Upload, whose name is made from its id. */
async function takeSnapshot(deps: VolumeDeps, lease: WorkLease): Promise<Result> {
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
  const localMode = snapshot['spec'].backupRepository === ''
  const conditions = setCondition(
    snapshot['status']?.conditions,
    {
      type: 'Snapshotted',
      status: 'True',
      reason: 'LocalSnapshotTaken',
      message: 'the disk snapshot exists in vCenter',
    },
    deps.clock.nowMs(),
  )
  const status = {
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
  if (localMode) return { outcome: { status: {}, step: 'done', dropFinalizer: true }, why: 'snapshotted (local mode)' }
  // As it was checked: what its user has edited since may name a repository that is not for this namespace.
  await ensureUpload(deps, snapshot, disk, target.volume)
  // Not the status once more: the Upload may have written a later phase into it by now.
  return { outcome: { status: {}, step: 'waiting' }, why: 'snapshotted' }
}

/** Cancelled is only said when nothing is left in vCenter; until then the status says why it is not. */
async function cancelOrWait(deps: VolumeDeps, lease: WorkLease): Promise<Result> {
  try {
    return await cancel(deps, lease)
  } catch (error) {
    if (isPassing(error) || error instanceof TerminalError) return waitAgain(deps, lease, error)
    throw error
  }
}

async function cancel(deps: VolumeDeps, lease: WorkLease): Promise<Result> {
  await removeTaken(deps, lease.latest(), lease.signal)
  const status = {
    phase: 'Canceled',
    message: 'cancelled before the snapshot was taken',
    reason: 'Canceled',
    completionTimestamp: rfc3339(deps.clock.nowMs()),
  }
  return { outcome: { status, step: 'done', dropFinalizer: true }, why: 'cancelled' }
}

/** A task that vCenter reports as running for ever. */
function requireInTime(deps: VolumeDeps, snapshot: KubeObject): void {
  if (!isOverdue(deps, snapshot)) return
  const seconds = deps.settings.snapshotTimeoutMs / SECOND_MS
  throw new TerminalError('SnapshotTimedOut', `vCenter has not finished the disk snapshot within ${seconds} s`)
}

/** Nothing of a failed snapshot is left in vCenter; while vCenter cannot be asked to remove it, the failure waits. */
async function failed(deps: VolumeDeps, lease: WorkLease, reason: string, message: string): Promise<Result> {
  try {
    await removeTaken(deps, lease.latest(), lease.signal)
  } catch (error) {
    const wasStarted = lease.latest()['status']?.task !== undefined
    if (wasStarted && isPassing(error)) return waitAgain(deps, lease, error)
    if (!(error instanceof TerminalError) && !isPassing(error)) throw error
  }
  const nowMs = deps.clock.nowMs()
  const snapshot = lease.latest()
  await announce(deps, snapshot, 'Warning', reason, message)
  const conditions = setCondition(
    snapshot['status']?.conditions,
    { type: 'Snapshotted', status: 'False', reason, message },
    nowMs,
  )
  const status = {
    phase: 'SnapshotFailed',
    reason,
    message,
    completionTimestamp: rfc3339(nowMs),
    task: null,
    conditions,
  }
  return { outcome: { status, step: 'done', dropFinalizer: true }, why: `failed: ${reason}` }
}

/** vCenter is busy or away: try again soon, and give up when the documented time since the start is over. */
async function busy(deps: VolumeDeps, lease: WorkLease, error: DormouseError): Promise<Result> {
  const limitMs = deps.settings.snapshotTimeoutMs
  if (lease.signal.reason !== ABORTS.shutdown && isOverdue(deps, lease.latest())) {
    const message = `no snapshot within ${limitMs / SECOND_MS} s: ${error.message}`
    return await failed(deps, lease, error.reason, message)
  }
  return waitAgain(deps, lease, error)
}

function waitAgain(deps: VolumeDeps, lease: WorkLease, { reason, message }: DormouseError): Result {
  const nowMs = deps.clock.nowMs()
  const snapshot = lease.latest()
  const waiting = { type: 'Snapshotted', status: 'False', reason, message } as const
  // A task that still runs is polled on: another one would be another snapshot.
  const taskIsOver = reason === 'TaskFailed' || reason === 'TaskNotFound'
  const status = {
    phase: 'New',
    reason,
    message,
    startTimestamp: rfc3339(startedMs(deps, snapshot)),
    ...(taskIsOver ? { task: null } : {}),
    conditions: setCondition(snapshot['status']?.conditions, waiting, nowMs),
  }
  return { outcome: { status, step: 'waiting', dueAtMs: soon(deps) }, why: `busy: ${reason}` }
}

function soon({ clock, settings }: VolumeDeps): number {
  return clock.nowMs() + BUSY_RETRY_UNITS * settings.backoffUnitMs
}
