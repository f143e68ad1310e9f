// Restores a claim: a staged disk, a Download into it, and the hand-over of its volume once the data is whole.

import type { KindName, KubeObject } from '#shared/api/kinds.ts'
import { announce } from '#shared/controllers/announce.ts'
import { type Claim, withClaim } from '#shared/controllers/claim.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { lookAgainMs, lookUntil, STOP_LOOK_MS } from '#shared/controllers/look.ts'
import { requireRestoreAllowed } from '#shared/controllers/restore-permit.ts'
import { type Ending, settle, writeEnding } from '#shared/controllers/write.ts'
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
  await settle(deps, 'CloneFromSnapshot', clone)
  return why
}

async function asksForAbort(deps: StepDeps, clone: KubeObject): Promise<boolean> {
  return decideClone(seeClone(clone, await readDownload(deps, clone))).kind === 'abort'
}

/** Shows the Download's progress; its end wakes this function, its progress does not. */
async function followDownload(deps: StepDeps, clone: KubeObject, download: KubeObject | undefined): Promise<void> {
  const progress = progressOf(download)
  await writeEnding(deps, 'CloneFromSnapshot', clone, { status: { phase: 'InProgress', ...progress }, step: 'waiting' })
}

function progressOf(download: KubeObject | undefined): { progress?: object } {
  const { totalBytes, bytesDone, percent, summary } = download?.['status']?.progress ?? {}
  return totalBytes === undefined ? {} : { progress: { totalBytes, bytesDone, percent, summary } }
}

type Result = { ending: Ending; why: string }

type Outcome = { why: string; written: KubeObject | undefined }

async function underClaim(deps: StepDeps, clone: KubeObject, step: CloneStep, signal: AbortSignal): Promise<Outcome> {
  const claimed = await withClaim(
    deps,
    {
      kind: 'CloneFromSnapshot',
      object: clone,
      firstPatch: { metadata: { ...stepPatch('running'), finalizers: withFinalizer(clone) } },
      isCancelled: (object) =>
        step.kind !== 'abort' && step.kind !== 'handOver' && decideClone(seeClone(object, undefined)).kind === 'abort',
      signal,
    },
    (claim) => actOrFail(deps, claim, step),
  )
  if (claimed.held) return { why: 'claimed elsewhere', written: undefined }
  const written = await writeEnding(deps, 'CloneFromSnapshot', claimed.object, claimed.value.ending)
  // A run that was paused for longer than its Lease may have made a staging claim while this one came to the end; what it makes later
  // has an event of its own, which leads to endFor.
  if (claimed.value.ending.step === 'done') await removeStaged(deps, written, { signal })
  return { why: claimed.value.why, written }
}

async function actOrFail(deps: StepDeps, claim: Claim, step: CloneStep): Promise<Result> {
  try {
    return await act(deps, claim, step)
  } catch (error) {
    if (isPassing(error)) return await later(deps, claim, error)
    if (error instanceof TerminalError) return await failedOrLater(deps, claim, error)
    throw error
  }
}

/** What has to go first may stay for a while, such as a staging claim that a Pod uses. */
async function failedOrLater(deps: StepDeps, claim: Claim, error: TerminalError): Promise<Result> {
  try {
    return await failed(deps, claim, error.reason, error.message)
  } catch (left) {
    if (isPassing(left)) return await later(deps, claim, left)
    throw left
  }
}

/** A right that is missing may be granted; trouble of the Kubernetes API itself is answered with 503 instead. */
function isPassing(error: unknown): error is DormouseError {
  if (error instanceof RetryableError) return !isApiTrouble(error)
  return error instanceof TerminalError && error.reason === 'Forbidden'
}

async function act(deps: StepDeps, claim: Claim, step: CloneStep): Promise<Result> {
  // The Download was read before the Lease was taken: whoever held it until then may have come to the end meanwhile.
  const download = await readDownload(deps, claim.latest())
  const now = decideClone(seeClone(claim.latest(), download))
  if (now.kind === 'nothing') return { ending: { status: {}, step: 'done', dropFinalizer: true }, why: now.why }
  switch (step.kind) {
    case 'provision':
      return await prepare(deps, claim, neededBytes(download) === undefined ? undefined : download)
    case 'handOver':
      return await complete(deps, claim)
    case 'failWithDownload':
      return await failWithDownload(deps, claim)
    case 'abort':
      return await abort(deps, claim)
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
async function prepare(deps: StepDeps, claim: Claim, tried: KubeObject | undefined): Promise<Result> {
  const clone = claim.latest()
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
  await claim.patchStatus({
    phase: 'InProgress',
    startTimestamp,
    message: tried === undefined ? 'a staged disk is being provisioned' : 'a larger disk is made: the backup needs it',
    reason: 'Provisioning',
    stagingClaim: stagingClaimName(clone),
  })
  const staged = await provision(deps, clone, stored, claim, tried)
  if (tried !== undefined) await dropDownload(deps, tried)
  await requireOnlyDownload(deps, clone, disk, staged)
  const downloadName = downloadNameOf(clone, disk)
  // For people, and a hint for the sweep: it wakes the clone when that Download is over, and nothing else goes by it.
  await claim.patchStatus({
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
  return { ending: { status, step: 'waiting' }, why: `started ${downloadName}` }
}

function storedClaim(clone: KubeObject): KubeObject {
  const metadata = clone['spec'].metadata
  if (typeof metadata !== 'string' || metadata === '')
    throw new TerminalError('MetadataInvalid', 'spec.metadata is empty: it must hold the claim that was backed up')
  return decodeClaimMetadata(metadata)
}

async function complete(deps: StepDeps, claim: Claim): Promise<Result> {
  const download = await readDownload(deps, claim.latest())
  // It was there when this was decided; without it the next look makes another.
  if (download === undefined) throw new ConflictError('Gone', 'the Download is gone')
  await handOver(deps, claim, download, storedClaim)
  const nowMs = deps.clock.nowMs()
  const clone = claim.latest()
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
  await claim.patchStatus(status)
  await releaseDownload(deps, clone)
  return { ending: { status, step: 'done', dropFinalizer: true }, why: 'Completed' }
}

async function failWithDownload(deps: StepDeps, claim: Claim): Promise<Result> {
  const download = await readDownload(deps, claim.latest())
  const status = download?.['status'] ?? {}
  return await failed(
    deps,
    claim,
    status.reason ?? 'DownloadFailed',
    `its Download failed: ${status.message ?? 'no message'}`,
  )
}

/** The staged disk goes with its claim: nothing of a failed restore is left behind. */
async function failed(deps: StepDeps, claim: Claim, reason: string, message: string): Promise<Result> {
  const nowMs = deps.clock.nowMs()
  const clone = claim.latest()
  await removeStaged(deps, clone, claim)
  await announce(deps, clone, 'Warning', reason, message)
  await tellWaitingClaim(deps, clone, 'Warning', reason, `${message}; no volume comes, delete the claim`)
  const conditions = setCondition(
    clone['status']?.conditions,
    { type: 'Restored', status: 'False', reason, message },
    nowMs,
  )
  const status = { phase: 'Failed', message, reason, completionTimestamp: rfc3339(nowMs), conditions }
  await claim.patchStatus(status)
  await releaseDownload(deps, clone)
  return { ending: { status, step: 'done', dropFinalizer: true }, why: `failed: ${reason}` }
}

async function later(deps: StepDeps, claim: Claim, error: DormouseError): Promise<Result> {
  const nowMs = deps.clock.nowMs()
  const before = conditionOf(claim.latest()['status']?.conditions, 'Restored')
  if (isTold(error.reason) && before?.reason !== error.reason) {
    await announce(deps, claim.latest(), 'Warning', error.reason, error.message)
    await tellWaitingClaim(deps, claim.latest(), 'Warning', error.reason, error.message)
  }
  const since = before?.reason === error.reason ? before.lastTransitionTime : undefined
  const conditions = setCondition(
    claim.latest()['status']?.conditions,
    { type: 'Restored', status: 'False', reason: error.reason, message: error.message },
    nowMs,
  )
  return {
    ending: {
      status: { reason: error.reason, message: error.message, conditions },
      step: 'waiting',
      dueAtMs: nowMs + lookAgainMs(Date.parse(since ?? ''), nowMs),
    },
    why: `waits: ${error.reason}`,
  }
}

/** Stops the Download first: as long as one may write, the disk it writes to stays. */
async function abort(deps: StepDeps, claim: Claim): Promise<Result> {
  await claim.patchStatus({ phase: 'Canceling', reason: 'Canceling', message: 'the restore is being cancelled' })
  const nowMs = deps.clock.nowMs()
  const download = await readDownload(deps, claim.latest())
  const isStopped = async () => isEnded(await readDownload(deps, claim.latest()))
  if (download !== undefined && !isEnded(download)) {
    await stopDownload(deps, download)
    if (!(await lookUntil(deps, claim, isStopped, STOP_LOOK_MS)))
      return {
        ending: { status: {}, step: 'waiting', dueAtMs: nowMs + lookAgainMs(Number.NaN, nowMs) },
        why: 'told its Download to stop',
      }
  }
  await removeStaged(deps, claim.latest(), claim)
  await awaitStagingGone(deps, claim.latest(), claim)
  await tellWaitingClaim(deps, claim.latest(), 'Warning', 'Canceled', 'cancelled; no volume comes, delete the claim')
  const status = {
    phase: 'Canceled',
    reason: 'Canceled',
    message: 'cancelled; the staged disk is removed',
    completionTimestamp: rfc3339(deps.clock.nowMs()),
  }
  return { ending: { status, step: 'done', dropFinalizer: true }, why: 'Canceled' }
}
