// Restores a claim: a staged disk, a Download into it, and the hand-over of its volume once the data is whole.

import type { KindName, KubeObject } from '#shared/api/kinds.ts'
import { isObjectName } from '#shared/api/names.ts'
import { decodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { type CloneStep, decideClone, seeClone } from '#shared/domain/clone.ts'
import { setCondition } from '#shared/domain/conditions.ts'
import { formatDiskId, sourceNamespace, unwrapToDisk } from '#shared/domain/ids.ts'
import { CLONE_ANNOTATION, stagingClaimName } from '#shared/domain/staging.ts'
import { stepPatch, withFinalizer } from '#shared/domain/step-label.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { type DormouseError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { requireAllowed } from '#shared/steps/allowed-namespaces.ts'
import { announce } from '#shared/steps/announce.ts'
import { type Claim, withClaim } from '#shared/steps/claim.ts'
import type { StepDeps } from '#shared/steps/deps.ts'
import { lookUntil } from '#shared/steps/look.ts'
import { type Ending, settle, writeEnding } from '#shared/steps/write.ts'
import { downloadNameOf, ensureDownload } from './download.ts'
import { handOver } from './hand-over.ts'
import { awaitStagingGone, provision, removeStaging } from './provision.ts'
import { tellWaitingClaim } from './waiting-claim.ts'

/** What is not there yet is looked at again after this long, if no event comes before. */
const POLL_AGAIN_MS = 10 * SECOND_MS

export const CLONE_KINDS = ['CloneFromSnapshot', 'PersistentVolumeClaim'] as const satisfies readonly KindName[]

/** Woken by its own object, and by the claims that it made when they are bound. */
export async function handleClone(
  context: Context,
  ref: ObjectRef,
  deps: StepDeps,
  signal: AbortSignal,
): Promise<string> {
  const clone = await findClone(deps, ref)
  if (clone === undefined) return 'gone'
  const download = await readDownload(deps, clone)
  const step = decideClone(seeClone(clone, download))
  if (step.kind === 'nothing') {
    // A run that was paused for longer than its Lease may have made the staging claim after the end: its event leads here.
    if (clone['status'].phase !== 'Completed') await removeStaging(deps, clone)
    await settle(deps, 'CloneFromSnapshot', clone)
    return step.why
  }
  if (step.kind === 'awaitDownload') {
    await followDownload(deps, clone, download)
    return `waits for its Download: ${download?.['status']?.phase ?? 'New'}`
  }
  const { why, written } = await underClaim(deps, clone, step, signal)
  // What was asked for while it was at work (a cancel) would wake nobody now: it is decided on the fresh object, right away.
  const asked = step.kind !== 'abort' && !signal.aborted && written !== undefined && (await asksForAbort(deps, written))
  return asked ? await handleClone(context, ref, deps, signal) : why
}

async function asksForAbort(deps: StepDeps, clone: KubeObject): Promise<boolean> {
  return decideClone(seeClone(clone, await readDownload(deps, clone))).kind === 'abort'
}

/** A claim names its clone in an annotation. Anyone can write one: the clone must know the claim too. */
async function findClone(deps: StepDeps, ref: ObjectRef): Promise<KubeObject | undefined> {
  if (ref.kind === 'CloneFromSnapshot') return await deps.cluster.read('CloneFromSnapshot', ref.namespace, ref.name)
  const claim = await deps.cluster.read('PersistentVolumeClaim', ref.namespace, ref.name)
  const [namespace, name] = (claim?.metadata.annotations?.[CLONE_ANNOTATION] ?? '').split('/')
  if (claim === undefined || namespace !== claim.metadata.namespace || !isObjectName(name)) return undefined
  return await deps.cluster.read('CloneFromSnapshot', namespace, name)
}

async function readDownload(deps: StepDeps, clone: KubeObject): Promise<KubeObject | undefined> {
  const name = clone['status']?.downloadName
  return isObjectName(name) ? await deps.cluster.read('Download', deps.settings.veleroNamespace, name) : undefined
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
  return { why: claimed.value.why, written }
}

async function actOrFail(deps: StepDeps, claim: Claim, step: CloneStep): Promise<Result> {
  try {
    return await act(deps, claim, step)
  } catch (error) {
    if (isPassing(error)) return later(deps, claim, error)
    if (error instanceof TerminalError) return await failed(deps, claim, error.reason, error.message)
    throw error
  }
}

/** A right that is missing may be granted; trouble of the Kubernetes API itself is answered with 503 instead. */
function isPassing(error: unknown): error is DormouseError {
  if (error instanceof RetryableError) return !error.reason.startsWith('Kubernetes') && error.reason !== 'LeaseLost'
  return error instanceof TerminalError && error.reason === 'Forbidden'
}

async function act(deps: StepDeps, claim: Claim, step: CloneStep): Promise<Result> {
  switch (step.kind) {
    case 'provision':
    case 'startDownload':
      return await prepare(deps, claim)
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

/** Up to the running Download; each part finds what an earlier run made. */
async function prepare(deps: StepDeps, claim: Claim): Promise<Result> {
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
  const namespaces = [clone.metadata.namespace ?? '', ...sourceNamespace(clone['spec'].snapshotID)]
  await requireAllowed(deps, clone['spec'].backupRepository, namespaces)
  const stored = storedClaim(clone)
  const startTimestamp = clone['status']?.startTimestamp ?? rfc3339(deps.clock.nowMs())
  await claim.patchStatus({
    phase: 'InProgress',
    startTimestamp,
    message: 'a staged disk is being provisioned',
    reason: 'Provisioning',
    stagingClaim: stagingClaimName(clone),
  })
  const staged = await provision(deps, claim, stored)
  const downloadName = downloadNameOf(clone, disk)
  await claim.patchStatus({
    downloadName,
    volumeName: staged.volumeName,
    volumeID: formatDiskId(staged.fcdId),
    reclaimPolicy: staged.reclaimPolicy,
  })
  await ensureDownload(deps, claim.latest(), disk, staged.fcdId)
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
  await handOver(deps, claim, storedClaim(claim.latest()))
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
    resourceHandle: { apiGroup: '', kind: 'PersistentVolumeClaim', name: clone['status'].volumeID },
    conditions,
  }
  await announce(deps, clone, 'Normal', 'Completed', 'the claim was restored')
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
  await removeStaging(deps, clone)
  await announce(deps, clone, 'Warning', reason, message)
  await tellWaitingClaim(deps, clone, 'Warning', reason, `${message}; no volume comes, delete the claim`)
  const conditions = setCondition(
    clone['status']?.conditions,
    { type: 'Restored', status: 'False', reason, message },
    nowMs,
  )
  const status = { phase: 'Failed', message, reason, completionTimestamp: rfc3339(nowMs), conditions }
  return { ending: { status, step: 'done', dropFinalizer: true }, why: `failed: ${reason}` }
}

function later(deps: StepDeps, claim: Claim, error: DormouseError): Result {
  const nowMs = deps.clock.nowMs()
  const conditions = setCondition(
    claim.latest()['status']?.conditions,
    { type: 'Restored', status: 'False', reason: error.reason, message: error.message },
    nowMs,
  )
  return {
    ending: {
      status: { reason: error.reason, message: error.message, conditions },
      step: 'waiting',
      dueAtMs: nowMs + POLL_AGAIN_MS,
    },
    why: `waits: ${error.reason}`,
  }
}

/** Stops the Download first: as long as one may write, the disk it writes to stays. */
async function abort(deps: StepDeps, claim: Claim): Promise<Result> {
  await claim.patchStatus({ phase: 'Canceling', reason: 'Canceling', message: 'the restore is being cancelled' })
  const download = await readDownload(deps, claim.latest())
  const isStopped = async () => isEnded(await readDownload(deps, claim.latest()))
  if (download !== undefined && !isEnded(download)) {
    if (download['spec'].downloadCancel !== true) {
      await deps.cluster.patch('Download', download, {
        spec: { downloadCancel: true },
        metadata: stepPatch('download', deps.clock.nowMs()),
      })
    }
    if (!(await lookUntil(deps, claim, isStopped)))
      return {
        ending: { status: {}, step: 'waiting', dueAtMs: deps.clock.nowMs() + POLL_AGAIN_MS },
        why: 'told its Download to stop',
      }
  }
  await removeStaging(deps, claim.latest())
  await awaitStagingGone(deps, claim)
  await tellWaitingClaim(deps, claim.latest(), 'Warning', 'Canceled', 'cancelled; no volume comes, delete the claim')
  const status = {
    phase: 'Canceled',
    reason: 'Canceled',
    message: 'cancelled; the staged disk is removed',
    completionTimestamp: rfc3339(deps.clock.nowMs()),
  }
  return { ending: { status, step: 'done', dropFinalizer: true }, why: 'Canceled' }
}

function isEnded(download: KubeObject | undefined): boolean {
  return download === undefined || ['Completed', 'Failed'].includes(download['status']?.phase)
}
