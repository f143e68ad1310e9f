// How an upload comes to its end: sealed, cleaned up, cancelled, or failed and tried again.

import type { KubeObject } from '#shared/api/kinds.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { Claim } from '#shared/controllers/claim.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { HEAVY_POLL_MS, removeLocalSnapshot } from '#shared/controllers/local-snapshot.ts'
import { reasonOf, type StepResult } from '#shared/controllers/transfer.ts'
import { setCondition } from '#shared/domain/conditions.ts'
import { parseDiskSnapshotId } from '#shared/domain/ids.ts'
import { progressView } from '#shared/domain/progress.ts'
import { isHopelessTransfer, uploadBackoffUnits } from '#shared/domain/upload.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { asError, CapacityError, DormouseError, isApiTrouble, RetryableError } from '#shared/kernel/errors.ts'
import type { UploadProgress } from '#shared/ports/mover.ts'
import { failuresWith, nextAttemptMs, whyNoOther } from './attempts.ts'
import { letGoOfDisk } from './let-go.ts'

type Conditions = Parameters<typeof setCondition>[0]

/** `closed`: by the mover that had it open last, in order. `perhaps held`: a mover may have died since. */
export type DiskState = 'closed' | 'perhaps held'

/** The root is durable and was verified: from here on nothing can make this backup a failure. */
export async function seal(
  deps: TransferDeps,
  claim: Claim,
  outcome: { root: string; mode?: string; progress?: UploadProgress; healed?: { packs: number; pages: number } },
  disk: DiskState,
): Promise<StepResult> {
  const conditions = setCondition(
    await tellOfDamage(deps, claim, outcome.healed),
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
  return await cleanUp(deps, claim, 'Completed', disk)
}

/** This backup is whole, earlier ones are not: that is worth an alarm. Answers the conditions. */
async function tellOfDamage(
  deps: TransferDeps,
  claim: Claim,
  healed: { packs: number; pages: number } | undefined,
): Promise<Conditions> {
  const { conditions } = claim.latest()['status'] ?? {}
  if (healed === undefined) return conditions
  const message =
    `earlier backups of this volume have lost data in the repository (${healed.packs} packs, ${healed.pages} pages of the map): ` +
    'they cannot be restored as a whole; this one read it from the disk again and is whole'
  await announce(deps, claim.latest(), 'Warning', 'PackMissing', message)
  const damage = { type: 'EarlierBackupsDamaged', status: 'True' as const, reason: 'PackMissing', message }
  return setCondition(conditions, damage, deps.clock.nowMs())
}

export async function cleanUp(
  deps: TransferDeps,
  claim: Claim,
  ends: 'Completed' | 'UploadFailedAfterRetry',
  disk: DiskState = 'perhaps held',
): Promise<StepResult> {
  const upload = claim.latest()
  let left: 'gone' | 'foreign'
  try {
    const { fcdId, snapshotId } = parseDiskSnapshotId(upload['spec'].snapshotID)
    left = await removeLocalSnapshot(deps, fcdId, snapshotId, claim.signal, HEAVY_POLL_MS)
  } catch (error) {
    if (isApiTrouble(error)) throw error
    return await cleanUpFailed(deps, claim, asError(error))
  }
  const completed = ends === 'Completed'
  const stuck =
    (disk === 'closed' ? undefined : await endAccess(deps, claim)) ??
    (completed ? undefined : await endSession(deps, claim))
  if (stuck !== undefined) return stuck
  const nowMs = deps.clock.nowMs()
  const conditions = setCondition(claim.latest()['status']?.conditions, REMOVED[left], nowMs)
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

const REMOVED = {
  gone: {
    type: 'LocalSnapshotRemoved',
    status: 'True',
    reason: 'LocalSnapshotRemoved',
    message: 'the disk snapshot is gone from vCenter',
  },
  foreign: {
    type: 'LocalSnapshotRemoved',
    status: 'False',
    reason: 'NotPermitted',
    message: 'the disk snapshot stays: another cluster or program has made it',
  },
} as const

/**
 * An upload that is given up must not leave its session open: checkpoints would stay, and a prune would wait for it. Sealed by
 * somebody in the last moment it goes, too, as it was told to have failed. Undefined: done, or left to the next prune, as a store
 * that cannot be used may be why the upload was given up.
 */
async function endSession(deps: TransferDeps, claim: Claim): Promise<StepResult | undefined> {
  const upload = claim.latest()
  const session = upload['status']?.session
  if (typeof session !== 'string' || session === '') return undefined
  const what = { failed: "the upload's session could not be given up", left: 'the next prune does it' }
  return await attempt(deps, upload, what, () => abandonBackup(deps, upload, session))
}

/** Undefined: done, or left to the next backup of the disk. */
async function endAccess(deps: TransferDeps, claim: Claim): Promise<StepResult | undefined> {
  const upload = claim.latest()
  return await attempt(deps, upload, LEFT_HELD, () => letGoOfDisk(deps, upload))
}

const LEFT_HELD = {
  failed: 'the disk could not be released for migration in vCenter',
  left: 'the next backup of it does it',
}

/** What passes is tried again while there is another attempt. Undefined: done, or left with a warning. */
async function attempt(
  deps: TransferDeps,
  upload: KubeObject,
  what: { failed: string; left: string },
  work: () => Promise<void>,
): Promise<StepResult | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    if (isApiTrouble(error)) throw error
    const status = upload['status'] ?? {}
    const failures = failuresWith(status)
    if (error instanceof RetryableError && (await whyNoOther(deps, upload, failures)) === undefined) {
      const phase = status.phase === 'Canceling' ? 'Canceling' : 'CleanupFailed'
      return retryLater(deps, { phase, message: `${what.failed}: ${error.message}` }, failures, error.reason)
    }
    deps.log.warn({ err: error }, `${what.failed}: ${what.left}`)
    return undefined
  }
}

/** No backup of this session can be sealed any more, and none is left. */
async function abandonBackup(deps: TransferDeps, upload: KubeObject, session: string): Promise<void> {
  const { fcdId, snapshotId } = parseDiskSnapshotId(upload['spec'].snapshotID)
  const access = await deps.access(upload['spec'].backupRepository)
  // Sealed in the last moment: nobody was told of it yet, so it goes as the user asked.
  if (await deps.repositories.abandon(access, session)) return
  const roots = await deps.repositories.rootsOf(access, fcdId, snapshotId)
  const own = roots.filter((root) => root.session === session).map(({ root }) => root)
  await deps.repositories.forget(access, fcdId, snapshotId, own)
}

async function cleanUpFailed(deps: TransferDeps, claim: Claim, error: Error): Promise<StepResult> {
  const nowMs = deps.clock.nowMs()
  const status = claim.latest()['status'] ?? {}
  const failures = failuresWith(status)
  const reason = reasonOf(deps, error)
  const message = `the disk snapshot could not be removed: ${error.message}`
  const conditions = setCondition(
    status.conditions,
    { type: 'LocalSnapshotRemoved', status: 'False', reason, message },
    nowMs,
  )
  await announce(deps, claim.latest(), 'Warning', 'CleanupFailed', message)
  return retryLater(deps, { phase: 'CleanupFailed', message, conditions }, failures, reason)
}

/**
 * Before the bucket, which may be out of reach, what is in vCenter. A warm mover may still have the snapshot open: it would be locked.
 * A mover that was paused may open it until the snapshot is gone, and nobody can after that: so only what is released then stays so.
 */
export async function abort(deps: TransferDeps, claim: Claim): Promise<StepResult> {
  const upload = claim.latest()
  const { fcdId, snapshotId } = parseDiskSnapshotId(upload['spec'].snapshotID)
  const locked = await endAccess(deps, claim)
  await removeLocalSnapshot(deps, fcdId, snapshotId, claim.signal, HEAVY_POLL_MS)
  const stuck = locked ?? (await endAccess(deps, claim))
  if (stuck !== undefined) return stuck
  const left = await abandonUnlessGone(deps, upload)
  return canceled(deps, Number(upload['status']?.slice ?? 0) === 0 ? NEVER_BEGAN : WHAT_IT_LEFT[left])
}

const NEVER_BEGAN = 'cancelled before it had a transfer slot; nothing was stored'
const WHAT_IT_LEFT = {
  checkpoint: 'cancelled; the next backup of this disk goes on from what it had stored',
  nothing: 'cancelled; it left no checkpoint for the next backup of this disk to go on from',
  unknown: 'cancelled; its repository is gone, so what it had stored there was left as it is',
} as const

/** `unknown`: the BackupRepository was deleted meanwhile, so there is no way to the bucket; no backup was sealed, prune ends the rest. */
async function abandonUnlessGone(deps: TransferDeps, upload: KubeObject): Promise<keyof typeof WHAT_IT_LEFT> {
  const session = upload['status']?.session
  if (typeof session !== 'string' || session === '') return 'nothing'
  try {
    await abandonBackup(deps, upload, session)
    const access = await deps.access(upload['spec'].backupRepository)
    return (await deps.repositories.leavesCheckpoint(access, session)) ? 'checkpoint' : 'nothing'
  } catch (error) {
    if (error instanceof DormouseError && error.reason === 'RepositoryNotFound') return 'unknown'
    throw error
  }
}

function canceled(deps: TransferDeps, message: string): StepResult {
  const status = {
    phase: 'Canceled',
    message,
    reason: 'Canceled',
    completionTimestamp: rfc3339(deps.clock.nowMs()),
    nextRetryTimestamp: null,
  }
  return { ending: { status, step: 'done', dropFinalizer: true }, why: 'Canceled', freeSlot: true }
}

export async function recordFailure(deps: TransferDeps, claim: Claim, error: Error): Promise<StepResult> {
  const nowMs = deps.clock.nowMs()
  const status = claim.latest()['status'] ?? {}
  const reason = reasonOf(deps, error)
  deps.countSlice('failed')
  const failures = failuresWith(status)
  const conditions = setCondition(
    status.conditions,
    { type: 'Uploaded', status: 'False', reason, message: error.message },
    nowMs,
  )
  await announce(deps, claim.latest(), 'Warning', reason, error.message)
  if (status.phase === 'Canceling' && reason === 'SnapshotIDInvalid')
    return canceled(deps, `cancelled; its id names nothing that could be removed: ${error.message}`)
  if (status.phase === 'Canceling')
    return retryLater(deps, { phase: 'Canceling', message: error.message, conditions }, failures, reason)
  const end = isHopelessTransfer(reason) ? 'hopeless' : await whyNoOther(deps, claim.latest(), failures)
  if (end !== undefined) {
    const message = end === 'too late' ? `${error.message}; ${NO_ROOM}` : error.message
    await claim.patch({ status: { givenUp: true, message, reason, retryCount: failures, conditions } })
    return reason === 'SnapshotIDInvalid' ? unusable(deps, error) : await cleanUp(deps, claim, 'UploadFailedAfterRetry')
  }
  // A session that was given up never seals: the next attempt begins another.
  const session = reason === 'SessionFenced' ? { session: null } : {}
  const change = { ...session, ...trueSize(error) }
  return retryLater(deps, { phase: 'UploadError', message: error.message, conditions, ...change }, failures, reason)
}

/** The next attempt goes by the size of the disk snapshot itself, and not by an earlier backup of another size. */
function trueSize(error: Error): object {
  return error instanceof CapacityError ? { volumeBytes: error.diskBytes, parentRoot: null } : {}
}

const NO_ROOM = "the backup's time limit of operations leaves no room for another attempt"

/** An id that cannot be read names no snapshot that could be removed. */
function unusable(deps: TransferDeps, error: Error): StepResult {
  const status = {
    phase: 'UploadFailedAfterRetry',
    message: error.message,
    reason: 'SnapshotIDInvalid',
    completionTimestamp: rfc3339(deps.clock.nowMs()),
  }
  return { ending: { status, step: 'done', dropFinalizer: true }, why: 'SnapshotIDInvalid', freeSlot: true }
}

function retryLater(deps: TransferDeps, status: object, failures: number, reason: string): StepResult {
  const untilMs = nextAttemptMs(deps, failures)
  const full = {
    ...status,
    reason,
    retryCount: failures,
    currentBackOff: uploadBackoffUnits(failures),
    nextRetryTimestamp: rfc3339(untilMs),
  }
  return { ending: { status: full, step: 'waiting', dueAtMs: untilMs }, why: `failed: ${reason}`, freeSlot: true }
}

export function progressOf(progress: UploadProgress): object {
  const { bytesRead, bytesSent, bytesStored } = progress
  return { ...progressView(progress.bytesDone, progress.totalBytes), bytesRead, bytesSent, bytesStored }
}
