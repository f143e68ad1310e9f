// Moves one slice of a snapshot into the repository; after the last one it seals the backup and removes the local snapshot.

import type { KubeObject } from '#shared/api/kinds.ts'
import { conditionOf, setCondition } from '#shared/domain/conditions.ts'
import { parseDiskSnapshotId } from '#shared/domain/ids.ts'
import { progressView } from '#shared/domain/progress.ts'
import { stepPatch, withFinalizer } from '#shared/domain/step-label.ts'
import {
  decideUpload,
  isHopelessTransfer,
  seeUpload,
  type UploadStep,
  uploadBackoffMinutes,
  uploadRetryAtMs,
  uploadRetryMax,
} from '#shared/domain/upload.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { asError, ConflictError, DormouseError, RetryableError } from '#shared/kernel/errors.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import type { UploadOutcome, UploadProgress } from '#shared/ports/mover.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { announce } from '#shared/steps/announce.ts'
import { ABORTS, type Claim, withClaim } from '#shared/steps/claim.ts'
import type { TransferDeps } from '#shared/steps/deps.ts'
import { removeLocalSnapshot } from '#shared/steps/local-snapshot.ts'
import { mirrorToSnapshot } from '#shared/steps/mirror.ts'
import { gateInOldest, giveSlot, takeSlot } from '#shared/steps/slots.ts'
import { type Ending, settle, writeEnding } from '#shared/steps/write.ts'
import { prepareUpload } from './prepare.ts'

/** One delivery does at most one step. Safe twice and in any order: it trusts the object, never the event. */
export async function handleUpload(
  context: Context,
  ref: ObjectRef,
  deps: TransferDeps,
  signal: AbortSignal,
): Promise<string> {
  const upload = await deps.cluster.read('Upload', ref.namespace, ref.name)
  if (upload === undefined) return 'gone'
  const step = decideUpload(seeUpload(upload), deps.clock.nowMs())
  switch (step.kind) {
    case 'nothing':
      await mirrorToSnapshot(deps, upload)
      await giveSlot(deps, upload)
      await settle(deps, 'Upload', upload)
      return step.why
    case 'wait':
      return await park(deps, upload, step.untilMs)
    case 'transfer':
      return await withSlot(deps, upload, () => underClaim(context, ref, deps, upload, step, signal))
    case 'cleanup':
    case 'abort':
      return await underClaim(context, ref, deps, upload, step, signal)
    default:
      return unreachable(step)
  }
}

async function park(deps: TransferDeps, upload: KubeObject, untilMs: number): Promise<string> {
  await deps.cluster.patch('Upload', upload, { metadata: stepPatch('waiting', untilMs) })
  return 'not due yet'
}

/** A transfer needs a cluster-wide slot, and a permit of this process, whose memory is cut for so many transfers. */
async function withSlot(deps: TransferDeps, upload: KubeObject, act: () => Promise<string>): Promise<string> {
  const slot = await takeSlot(deps, upload)
  if (!slot.have) return await queue(deps, upload, slot.why)
  if (!deps.permits.tryTake())
    throw new RetryableError('MoverBusy', 'this pod moves another volume; another pod takes this one', {
      retryAfterSeconds: 2,
    })
  try {
    return await act()
  } finally {
    deps.permits.give()
  }
}

async function queue(deps: TransferDeps, upload: KubeObject, why: string): Promise<string> {
  const nowMs = deps.clock.nowMs()
  const status = upload['status'] ?? {}
  const conditions = setCondition(
    status.conditions,
    { type: 'Queued', status: 'True', reason: 'NoFreeSlot', message: why },
    nowMs,
  )
  await deps.cluster.patch('Upload', upload, {
    metadata: stepPatch('queued'),
    status: { phase: status.phase ?? 'New', message: why, reason: 'NoFreeSlot', conditions },
  })
  // A slot may have come free between the look and the patch, when nobody was queued to be gated in.
  await gateInOldest(deps)
  return 'queued'
}

type Result = { ending: Ending; why: string; freeSlot: boolean }

async function underClaim(
  context: Context,
  ref: ObjectRef,
  deps: TransferDeps,
  upload: KubeObject,
  step: UploadStep,
  signal: AbortSignal,
): Promise<string> {
  const claimed = await withClaim(
    deps,
    {
      kind: 'Upload',
      object: upload,
      firstPatch: firstPatch(deps, upload, step),
      isCancelled: (object) => decideUpload(seeUpload(object), deps.clock.nowMs()).kind === 'abort',
      signal,
      onLost: () => deps.mover.kill(),
    },
    (claim) => act(deps, claim, step),
  )
  if (claimed.held) return 'claimed elsewhere'
  // What was asked for while the slice ran (a cancel) is decided on the fresh object, right away.
  const written = await writeEnding(deps, 'Upload', claimed.object, claimed.value.ending)
  await mirrorToSnapshot(deps, written)
  if (claimed.value.freeSlot) await giveSlot(deps, written)
  if (claimed.value.ending.step === 'done') await settle(deps, 'Upload', written)
  if (claimed.value.why === ABORTS.cancelled) return await handleUpload(context, ref, deps, signal)
  return claimed.value.why
}

function firstPatch(deps: TransferDeps, upload: KubeObject, step: UploadStep): object {
  const metadata = { ...stepPatch('running'), finalizers: withFinalizer(upload) }
  if (step.kind === 'abort')
    return { metadata, status: { phase: 'Canceling', message: 'the upload is being cancelled', reason: 'Canceling' } }
  if (step.kind === 'cleanup') return { metadata }
  const status = upload['status'] ?? {}
  const conditions =
    conditionOf(status.conditions, 'Queued') === undefined
      ? undefined
      : setCondition(
          status.conditions,
          { type: 'Queued', status: 'False', reason: 'SlotTaken', message: 'it has a transfer slot' },
          deps.clock.nowMs(),
        )
  return {
    metadata,
    status: {
      phase: 'InProgress',
      message: 'the snapshot is being uploaded',
      reason: 'Transferring',
      slice: Number(status.slice ?? 0) + 1,
      processingNode: deps.settings.nodeName ?? deps.identity,
      startTimestamp: status.startTimestamp ?? rfc3339(deps.clock.nowMs()),
      ...(conditions === undefined ? {} : { conditions }),
    },
  }
}

async function act(deps: TransferDeps, claim: Claim, step: UploadStep): Promise<Result> {
  try {
    if (step.kind === 'abort') return await abort(deps, claim)
    if (step.kind === 'cleanup') return await cleanUp(deps, claim, step.ends)
    await mirrorToSnapshot(deps, claim.latest())
    return await transfer(deps, claim)
  } catch (error) {
    if (isNotOurs(error) || claim.signal.reason === ABORTS.lost) throw error
    return await recordFailure(deps, claim, asError(error))
  }
}

/** Trouble of the Kubernetes API is answered with 503 and leaves the status alone: it is no failure of the transfer. */
function isNotOurs(error: unknown): boolean {
  if (error instanceof ConflictError) return true
  return error instanceof DormouseError && (error.reason.startsWith('Kubernetes') || error.reason === 'LeaseLost')
}

async function transfer(deps: TransferDeps, claim: Claim): Promise<Result> {
  const prepared = await prepareUpload(deps, claim)
  if (prepared.kind === 'sealed') return await seal(deps, claim, { root: prepared.root })
  const outcome = await deps.mover.upload(prepared.request, {
    signal: claim.signal,
    onProgress: (progress) =>
      void claim
        .patch({ status: { progress: progressOf(progress) } })
        .catch((error) => deps.log.debug({ err: error }, 'progress not written')),
  })
  if (outcome.state === 'sealed') return await seal(deps, claim, outcome)
  return afterSlice(deps, claim, outcome)
}

function afterSlice(deps: TransferDeps, claim: Claim, outcome: UploadOutcome): Result {
  const status = { progress: progressOf(outcome.progress) }
  const why = claim.signal.reason === ABORTS.cancelled ? ABORTS.cancelled : 'slice done, more to move'
  return { ending: { status, step: 'upload', dueAtMs: deps.clock.nowMs() }, why, freeSlot: false }
}

/** The root is durable and was verified: from here on nothing can make this backup a failure. */
async function seal(
  deps: TransferDeps,
  claim: Claim,
  outcome: { root: string; mode?: string; progress?: UploadProgress },
): Promise<Result> {
  const status = claim.latest()['status'] ?? {}
  const conditions = setCondition(
    status.conditions,
    {
      type: 'Uploaded',
      status: 'True',
      reason: 'BackupSealed',
      message: 'the backup is complete and verified in the repository',
    },
    deps.clock.nowMs(),
  )
  await claim.patch({
    status: {
      root: outcome.root,
      conditions,
      ...(outcome.mode === undefined ? {} : { mode: outcome.mode }),
      ...(outcome.progress === undefined ? {} : { progress: progressOf(outcome.progress) }),
    },
  })
  return await cleanUp(deps, claim, 'Completed')
}

async function cleanUp(
  deps: TransferDeps,
  claim: Claim,
  ends: 'Completed' | 'UploadFailedAfterRetry',
): Promise<Result> {
  const upload = claim.latest()
  try {
    const { fcdId, snapshotId } = parseDiskSnapshotId(upload['spec'].snapshotID)
    await removeLocalSnapshot(deps, fcdId, snapshotId, claim.signal)
  } catch (error) {
    if (isNotOurs(error)) throw error
    return await cleanUpFailed(deps, claim, asError(error))
  }
  const completed = ends === 'Completed'
  const nowMs = deps.clock.nowMs()
  const conditions = setCondition(
    claim.latest()['status']?.conditions,
    {
      type: 'LocalSnapshotRemoved',
      status: 'True',
      reason: 'LocalSnapshotRemoved',
      message: 'the disk snapshot is gone from vCenter',
    },
    nowMs,
  )
  const status = {
    phase: ends,
    conditions,
    completionTimestamp: rfc3339(nowMs),
    nextRetryTimestamp: null,
    ...(completed ? { message: 'Upload completed', reason: 'Completed' } : {}),
  }
  await announce(
    deps,
    upload,
    completed ? 'Normal' : 'Warning',
    ends,
    completed ? 'the backup is complete' : (upload['status']?.message ?? 'the upload failed'),
  )
  return { ending: { status, step: 'done', dropFinalizer: true }, why: ends, freeSlot: true }
}

async function cleanUpFailed(deps: TransferDeps, claim: Claim, error: Error): Promise<Result> {
  const nowMs = deps.clock.nowMs()
  const status = claim.latest()['status'] ?? {}
  const failures = Number(status.retryCount ?? 0) + 1
  const reason = error instanceof DormouseError ? error.reason : 'InternalError'
  const message = `the disk snapshot could not be removed: ${error.message}`
  const conditions = setCondition(
    status.conditions,
    { type: 'LocalSnapshotRemoved', status: 'False', reason, message },
    nowMs,
  )
  await announce(deps, claim.latest(), 'Warning', 'CleanupFailed', message)
  return retryLater(deps, { phase: 'CleanupFailed', message, conditions }, failures, reason)
}

async function abort(deps: TransferDeps, claim: Claim): Promise<Result> {
  const upload = claim.latest()
  const { fcdId, snapshotId } = parseDiskSnapshotId(upload['spec'].snapshotID)
  const session = upload['status']?.session
  if (typeof session === 'string' && session !== '') {
    const access = await deps.access(upload['spec'].backupRepository)
    // Sealed in the last moment: nobody was told of it yet, so it goes as the user asked.
    if (!(await deps.repositories.abandon(access, session))) await deps.repositories.forget(access, fcdId, snapshotId)
  }
  await removeLocalSnapshot(deps, fcdId, snapshotId, AbortSignal.timeout(4 * MINUTE_MS))
  const status = {
    phase: 'Canceled',
    message: 'cancelled; nothing of it is kept',
    reason: 'Canceled',
    completionTimestamp: rfc3339(deps.clock.nowMs()),
    nextRetryTimestamp: null,
  }
  return { ending: { status, step: 'done', dropFinalizer: true }, why: 'Canceled', freeSlot: true }
}

async function recordFailure(deps: TransferDeps, claim: Claim, error: Error): Promise<Result> {
  const nowMs = deps.clock.nowMs()
  const status = claim.latest()['status'] ?? {}
  const reason = error instanceof DormouseError ? error.reason : 'InternalError'
  if (!(error instanceof DormouseError)) deps.log.error({ err: error, reason }, 'the transfer failed unexpectedly')
  const failures = Number(status.retryCount ?? 0) + 1
  const conditions = setCondition(
    status.conditions,
    { type: 'Uploaded', status: 'False', reason, message: error.message },
    nowMs,
  )
  if (status.phase === 'Canceling')
    return retryLater(deps, { phase: 'Canceling', message: error.message, conditions }, failures, reason)
  await announce(deps, claim.latest(), 'Warning', reason, error.message)
  if (isHopelessTransfer(reason) || failures > (await retryMax(deps))) {
    await claim.patch({ status: { givenUp: true, message: error.message, reason, retryCount: failures, conditions } })
    return reason === 'SnapshotIDInvalid' ? unusable(deps, error) : await cleanUp(deps, claim, 'UploadFailedAfterRetry')
  }
  // A session that was given up never seals: the next attempt begins another.
  const session = reason === 'SessionFenced' ? { session: null } : {}
  return retryLater(deps, { phase: 'UploadError', message: error.message, conditions, ...session }, failures, reason)
}

/** An id that cannot be read names no snapshot that could be removed. */
function unusable(deps: TransferDeps, error: Error): Result {
  const status = {
    phase: 'UploadFailedAfterRetry',
    message: error.message,
    reason: 'SnapshotIDInvalid',
    completionTimestamp: rfc3339(deps.clock.nowMs()),
  }
  return { ending: { status, step: 'done', dropFinalizer: true }, why: 'SnapshotIDInvalid', freeSlot: true }
}

function retryLater(deps: TransferDeps, status: object, failures: number, reason: string): Result {
  const untilMs = uploadRetryAtMs(failures, deps.clock.nowMs())
  const full = {
    ...status,
    reason,
    retryCount: failures,
    currentBackOff: uploadBackoffMinutes(failures),
    nextRetryTimestamp: rfc3339(untilMs),
  }
  return { ending: { status: full, step: 'waiting', dueAtMs: untilMs }, why: `failed: ${reason}`, freeSlot: true }
}

async function retryMax(deps: TransferDeps): Promise<number> {
  const config = await deps.cluster.read('ConfigMap', deps.settings.veleroNamespace, 'velero-vsphere-plugin-config')
  return uploadRetryMax(config?.['data']?.['upload-cr-retry-max'])
}

function progressOf(progress: UploadProgress): object {
  const { bytesRead, bytesSent, bytesStored } = progress
  return { ...progressView(progress.bytesDone, progress.totalBytes), bytesRead, bytesSent, bytesStored }
}
