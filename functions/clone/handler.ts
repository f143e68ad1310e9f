// Restores a claim: a staged disk, a Download into it, and the hand-over of its volume once the data is whole.

import type { KindName, KubeObject } from '#shared/api/kinds.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { markDone, type Outcome, writeOutcome } from '#shared/controllers/outcome.ts'
import { lookAgainMs, pollUntil, STOP_LOOK_MS } from '#shared/controllers/poll.ts'
import { requireRestoreAllowed } from '#shared/controllers/restore-permit.ts'
import { type WorkLease, withWorkLease } from '#shared/controllers/work-lease.ts'
import { neededBytes } from '#shared/domain/backed-up.ts'
import { decodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { type CloneStep, decideClone, seeClone } from '#shared/domain/clone.ts'
import { conditionOf, setCondition } from '#shared/domain/conditions.ts'
import { formatDiskId, unwrapToDisk } from '#shared/domain/ids.ts'
import { stagingClaimName } from '#shared/domain/staging.ts'
import { stepPatch, withFinalizer } from '#shared/domain/step-label.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import {
  ConflictError,
  type DormouseError,
  isApiTrouble,
  RetryableError,
  TerminalError,
} from '#shared/kernel/errors.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import {
  downloadNameOf,
  dropDownload,
  ensureDownload,
  isEnded,
  readDownload,
  releaseDownload,
  requireOnlyDownload,
  stopDownload,
} from './download.ts'
import { findClone } from './find.ts'
import { handOver } from './hand-over.ts'
import { removeStaged } from './leftovers.ts'
import { removeOrphan } from './orphan.ts'
import { isTold } from './patience.ts'
import { provision } from './provision.ts'
import { awaitStagingGone } from './staging-claim.ts'
import { asDriven } from './staging-place.ts'
import { tellWaitingClaim } from './waiting-claim.ts'

export const CLONE_KINDS = ['CloneFromSnapshot', 'PersistentVolumeClaim'] as const satisfies readonly KindName[]

/** Woken by its own object, and by the claims that it made when they are bound. */
export async function handleClone(
  context: Context,
  ref: ObjectRef,
  deps: StepDeps,
  signal: AbortSignal,
): Promise<string> {
  const { clone, lost } = await findClone(deps, ref)
  if (clone === undefined) return lost === undefined ? 'gone' : await removeOrphan(deps, lost, signal)
  const download = await readDownload(deps, clone)
  const step = decideClone(seeClone(clone, download))
  // Its own may have lost the annotation that says where the staging claim is looked for.
  const ended = lost === undefined ? clone : asDriven(clone)
  if (step.kind === 'nothing') return await endFor(deps, ended, download, step.why, signal)
  if (step.kind === 'awaitDownload') {
    await followDownload(deps, clone, download)
    return `waits for its Download: ${download?.['status']?.phase ?? 'New'}`
  }
  const { why, written } = await underClaim(deps, clone, step, signal)
  // What was asked for while it was at work (a cancel) would wake nobody now: it is decided on the fresh object, right away.
  const asked = step.kind !== 'abort' && !signal.aborted && written !== undefined && (await asksForAbort(deps, written))
  return asked ? await handleClone(context, ref, deps, signal) : why
}

/** A run that was paused for longer than its Lease may have made the staging claim after the end: its event leads here. */
async function endFor(
  deps: StepDeps,
  clone: KubeObject,
  download: KubeObject | undefined,
  why: string,
  signal: AbortSignal,
): Promise<string> {
  // An end that somebody wrote by hand: as long as one may write, the disk it writes to stays.
  if (download !== undefined && !isEnded(download)) {
    await stopDownload(deps, download)
    return `${why}: told its Download to stop`
  }
  await removeStaged(deps, clone, { signal })
  await releaseDownload(deps, clone)
  await markDone(deps, 'CloneFromSnapshot', clone)
  return why
}

async function asksForAbort(deps: StepDeps, clone: KubeObject): Promise<boolean> {
  return decideClone(seeClone(clone, await readDownload(deps, clone))).kind === 'abort'
}

/** Shows the Download's progress; its end wakes this function, its progress does not. */
async function followDownload(deps: StepDeps, clone: KubeObject, download: KubeObject | undefined): Promise<void> {
  const progress = progressOf(download)
  await writeOutcome(deps, 'CloneFromSnapshot', clone, {
    status: { phase: 'InProgress', ...progress },
    step: 'waiting',
  })
}

function progressOf(download: KubeObject | undefined): { progress?: object } {
  const { totalBytes, bytesDone, percent, summary } = download?.['status']?.progress ?? {}
  return totalBytes === undefined ? {} : { progress: { totalBytes, bytesDone, percent, summary } }
}

type Result = { outcome: Outcome; why: string }

type Written = { why: string; written: KubeObject | undefined }

async function underClaim(deps: StepDeps, clone: KubeObject, step: CloneStep, signal: AbortSignal): Promise<Written> {
  const claimed = await withWorkLease(
    deps,
    {
      kind: 'CloneFromSnapshot',
      object: clone,
      firstPatch: { metadata: { ...stepPatch('running'), finalizers: withFinalizer(clone) } },
      isCancelled: (object) =>
        step.kind !== 'abort' && step.kind !== 'handOver' && decideClone(seeClone(object, undefined)).kind === 'abort',
      signal,
    },
    (lease) => actOrFail(deps, lease, step),
  )
  if (claimed.held) return { why: 'claimed elsewhere', written: undefined }
  const written = await writeOutcome(deps, 'CloneFromSnapshot', claimed.object, claimed.value.outcome)
  // A run that was paused for longer than its Lease may have made a staging claim while this one came to the end; what it makes later
  // has an event of its own, which leads to endFor.
  if (claimed.value.outcome.step === 'done') await removeStaged(deps, written, { signal })
  return { why: claimed.value.why, written }
}

async function actOrFail(deps: StepDeps, lease: WorkLease, step: CloneStep): Promise<Result> {
  try {
    return await act(deps, lease, step)
  } catch (error) {
    if (isPassing(error)) return await later(deps, lease, error)
    if (error instanceof TerminalError) return await failedOrLater(deps, lease, error)
    throw error
  }
}

/** What has to go first may stay for a while, such as a staging claim that a Pod uses. */
async function failedOrLater(deps: StepDeps, lease: WorkLease, error: TerminalError): Promise<Result> {
  try {
    return await failed(deps, lease, error.reason, error.message)
  } catch (left) {
    if (isPassing(left)) return await later(deps, lease, left)
    throw left
  }
}

/** A right that is missing may be granted; trouble of the Kubernetes API itself is answered with 503 instead. */
function isPassing(error: unknown): error is DormouseError {
  if (error instanceof RetryableError) return !isApiTrouble(error)
  return error instanceof TerminalError && error.reason === 'Forbidden'
}

async function act(deps: StepDeps, lease: WorkLease, step: CloneStep): Promise<Result> {
  // The Download was read before the Lease was taken: whoever held it until then may have come to the end meanwhile.
  const download = await readDownload(deps, lease.latest())
  const now = decideClone(seeClone(lease.latest(), download))
  if (now.kind === 'nothing') return { outcome: { status: {}, step: 'done', dropFinalizer: true }, why: now.why }
  switch (step.kind) {
    case 'provision':
      return await prepare(deps, lease, neededBytes(download) === undefined ? undefined : download)
    case 'handOver':
      return await complete(deps, lease)
    case 'failWithDownload':
      return await failWithDownload(deps, lease)
    case 'abort':
      return await abort(deps, lease)
    case 'nothing':
    case 'awaitDownload':
      throw new Error(`${step.kind} needs no claim`)
    default:
      return unreachable(step)
  }
}

/**
 * Up to the running Download; each part finds what an earlier run made. All of it goes by the object that was decided on: whoever edits
 * `spec` meanwhile would else have checked one repository, and open another. `tried`: the Download of a disk that was too small.
 */
async function prepare(deps: StepDeps, lease: WorkLease, tried: KubeObject | undefined): Promise<Result> {
  const clone = lease.latest()
  if (clone['spec'].kind !== 'PersistentVolumeClaim' || clone['spec'].apiGroup !== '') {
    throw new TerminalError(
      'ResourceKindUnsupported',
      `spec.kind is ${JSON.stringify(clone['spec'].kind)}: only PersistentVolumeClaim of the core group can be restored`,
    )
  }
  if (clone['spec'].backupRepository === '') {
    throw new TerminalError(
      'LocalModeRestoreUnsupported',
      'spec.backupRepository is empty: a snapshot kept in vCenter (local mode) cannot be restored this way',
    )
  }
  const disk = unwrapToDisk(clone['spec'].snapshotID)
  await requireRestoreAllowed(deps, clone)
  const stored = storedClaim(clone)
  const startTimestamp = clone['status']?.startTimestamp ?? rfc3339(deps.clock.nowMs())
  await lease.patchStatus({
    phase: 'InProgress',
    startTimestamp,
    message: tried === undefined ? 'a staged disk is being provisioned' : 'a larger disk is made: the backup needs it',
    reason: 'Provisioning',
    stagingClaim: stagingClaimName(clone),
  })
  const staged = await provision(deps, clone, stored, lease, tried)
  if (tried !== undefined) await dropDownload(deps, tried)
  await requireOnlyDownload(deps, clone, disk, staged)
  const downloadName = downloadNameOf(clone, disk)
  // For people, and a hint for the sweep: it wakes the clone when that Download is over, and nothing else goes by it.
  await lease.patchStatus({
    downloadName,
    volumeName: staged.volume.metadata.name,
    volumeID: formatDiskId(staged.fcdId),
    reclaimPolicy: staged.volume['spec'].persistentVolumeReclaimPolicy ?? 'Delete',
  })
  await ensureDownload(deps, clone, disk, staged, tried !== undefined)
  await tellWaitingClaim(deps, clone, 'Normal', 'Downloading', 'its data is being restored')
  const status = {
    phase: 'InProgress',
    downloadName,
    message: 'the backup is being written to a staged disk',
    reason: 'Downloading',
  }
  return { outcome: { status, step: 'waiting' }, why: `started ${downloadName}` }
}

function storedClaim(clone: KubeObject): KubeObject {
  const metadata = clone['spec'].metadata
  if (typeof metadata !== 'string' || metadata === '')
    throw new TerminalError('MetadataInvalid', 'spec.metadata is empty: it must hold the claim that was backed up')
  return decodeClaimMetadata(metadata)
}

async function complete(deps: StepDeps, lease: WorkLease): Promise<Result> {
  const download = await readDownload(deps, lease.latest())
  // It was there when this was decided; without it the next look makes another.
  if (download === undefined) throw new ConflictError('Gone', 'the Download is gone')
  await handOver(deps, lease, download, storedClaim)
  const nowMs = deps.clock.nowMs()
  const clone = lease.latest()
  const conditions = setCondition(
    clone['status']?.conditions,
    { type: 'Restored', status: 'True', reason: 'HandedOver', message: 'the claim is bound to the restored volume' },
    nowMs,
  )
  const status = {
    phase: 'Completed',
    ...progressOf(download),
    message: 'Download completed',
    reason: 'Completed',
    completionTimestamp: rfc3339(nowMs),
    resourceHandle: { apiGroup: '', kind: 'PersistentVolumeClaim', name: download['spec'].protectedEntityID },
    conditions,
  }
  await announce(deps, clone, 'Normal', 'Completed', 'the claim was restored')
  await lease.patchStatus(status)
  await releaseDownload(deps, clone)
  return { outcome: { status, step: 'done', dropFinalizer: true }, why: 'Completed' }
}

async function failWithDownload(deps: StepDeps, lease: WorkLease): Promise<Result> {
  const download = await readDownload(deps, lease.latest())
  const status = download?.['status'] ?? {}
  return await failed(
    deps,
    lease,
    status.reason ?? 'DownloadFailed',
    `its Download failed: ${status.message ?? 'no message'}`,
  )
}

/** The staged disk goes with its claim: nothing of a failed restore is left behind. */
async function failed(deps: StepDeps, lease: WorkLease, reason: string, message: string): Promise<Result> {
  const nowMs = deps.clock.nowMs()
  const clone = lease.latest()
  await removeStaged(deps, clone, lease)
  await announce(deps, clone, 'Warning', reason, message)
  await tellWaitingClaim(deps, clone, 'Warning', reason, `${message}; no volume comes, delete the claim`)
  const conditions = setCondition(
    clone['status']?.conditions,
    { type: 'Restored', status: 'False', reason, message },
    nowMs,
  )
  const status = { phase: 'Failed', message, reason, completionTimestamp: rfc3339(nowMs), conditions }
  await lease.patchStatus(status)
  await releaseDownload(deps, clone)
  return { outcome: { status, step: 'done', dropFinalizer: true }, why: `failed: ${reason}` }
}

async function later(deps: StepDeps, lease: WorkLease, error: DormouseError): Promise<Result> {
  const nowMs = deps.clock.nowMs()
  const before = conditionOf(lease.latest()['status']?.conditions, 'Restored')
  if (isTold(error.reason) && before?.reason !== error.reason) {
    await announce(deps, lease.latest(), 'Warning', error.reason, error.message)
    await tellWaitingClaim(deps, lease.latest(), 'Warning', error.reason, error.message)
  }
  const since = before?.reason === error.reason ? before.lastTransitionTime : undefined
  const conditions = setCondition(
    lease.latest()['status']?.conditions,
    { type: 'Restored', status: 'False', reason: error.reason, message: error.message },
    nowMs,
  )
  return {
    outcome: {
      status: { reason: error.reason, message: error.message, conditions },
      step: 'waiting',
      dueAtMs: nowMs + lookAgainMs(Date.parse(since ?? ''), nowMs),
    },
    why: `waits: ${error.reason}`,
  }
}

/** Stops the Download first: as long as one may write, the disk it writes to stays. */
async function abort(deps: StepDeps, lease: WorkLease): Promise<Result> {
  await lease.patchStatus({ phase: 'Canceling', reason: 'Canceling', message: 'the restore is being cancelled' })
  const nowMs = deps.clock.nowMs()
  const download = await readDownload(deps, lease.latest())
  const isStopped = async () => isEnded(await readDownload(deps, lease.latest()))
  if (download !== undefined && !isEnded(download)) {
    await stopDownload(deps, download)
    if (!(await pollUntil(deps, lease, isStopped, STOP_LOOK_MS)))
      return {
        outcome: { status: {}, step: 'waiting', dueAtMs: nowMs + lookAgainMs(Number.NaN, nowMs) },
        why: 'told its Download to stop',
      }
  }
  await removeStaged(deps, lease.latest(), lease)
  await awaitStagingGone(deps, lease.latest(), lease)
  await tellWaitingClaim(deps, lease.latest(), 'Warning', 'Canceled', 'cancelled; no volume comes, delete the claim')
  const status = {
    phase: 'Canceled',
    reason: 'Canceled',
    message: 'cancelled; the staged disk is removed',
    completionTimestamp: rfc3339(deps.clock.nowMs()),
  }
  return { outcome: { status, step: 'done', dropFinalizer: true }, why: 'Canceled' }
}
