// Writes one slice of a backup into a staged disk; when the last byte is flushed its clone is due for the hand-over.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isNamespaceName, isObjectName } from '#shared/api/names.ts'
import { announce } from '#shared/controllers/announce.ts'
import { ABORTS, type Claim, withClaim } from '#shared/controllers/claim.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { requireDownloadAllowed, requireRestorePermit } from '#shared/controllers/restore-permit.ts'
import { giveSlot } from '#shared/controllers/slots.ts'
import {
  beginSlice,
  cutByCancel,
  endsFailures,
  keepOutcome,
  moved,
  reasonOf,
  runningMetadata,
  type StepResult,
  withSlot,
} from '#shared/controllers/transfer.ts'
import { settle, writeEnding } from '#shared/controllers/write.ts'
import { BACKED_UP_ANNOTATION, formatBackedUp } from '#shared/domain/backed-up.ts'
import { setCondition } from '#shared/domain/conditions.ts'
import {
  DOWNLOAD_RETRIES,
  DOWNLOAD_RETRY_UNITS,
  type DownloadSeen,
  type DownloadStep,
  decideDownload,
  isHopelessDownload,
  seeDownload,
} from '#shared/domain/download.ts'
import { formatDiskId, parseDiskId, parseDiskSnapshotId } from '#shared/domain/ids.ts'
import { progressView, sizeText } from '#shared/domain/progress.ts'
import { isHandingOver, isZeroed } from '#shared/domain/staged-volume.ts'
import { isDownloadOf } from '#shared/domain/staging.ts'
import { stepOf, stepPatch } from '#shared/domain/step-label.ts'
import { withBelievedRetry } from '#shared/domain/waits.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { asError, isApiTrouble, TerminalError } from '#shared/kernel/errors.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import type { BackupSummary, DownloadProgress, DownloadRequest } from '#shared/ports/mover.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'

/** One delivery does at most one step. Safe twice and in any order: it trusts the object, never the event. */
export async function handleDownload(
  context: Context,
  ref: ObjectRef,
  deps: TransferDeps,
  signal: AbortSignal,
): Promise<string> {
  // Only operators write there: a Download names a disk that is overwritten.
  if (ref.namespace !== deps.settings.veleroNamespace) return "not in Velero's namespace"
  const download = await deps.cluster.read('Download', ref.namespace, ref.name)
  if (download === undefined) return 'gone'
  const step = await decide(deps, download)
  switch (step.kind) {
    case 'nothing':
      await giveSlot(deps, download)
      await wakeClone(deps, download)
      // What its clone hands over by is kept until that is done. Of a clone that was torn out the sweep takes the disk away first.
      if (isHandingOver(download)) return `${step.why}: its volume changes hands`
      await settle(deps, 'Download', download)
      return step.why
    case 'wait':
      await deps.cluster.patch('Download', download, { metadata: stepPatch('waiting', step.untilMs) })
      return 'not due yet'
    case 'transfer':
      return await withSlot(deps, 'Download', download, (done) =>
        underClaim(context, ref, deps, download, step, signal, done),
      )
    case 'cancel':
      return await underClaim(context, ref, deps, download, step, signal)
    default:
      return unreachable(step)
  }
}

/** A clone that was cancelled or deleted wakes nobody while its Download is at work: so the Download looks at it, too. */
async function decide(deps: TransferDeps, download: KubeObject): Promise<DownloadStep> {
  const nowMs = deps.clock.nowMs()
  const decideOn = (seen: DownloadSeen) =>
    decideDownload(withBelievedRetry('Download', seen, nowMs, deps.settings.backoffUnitMs), nowMs)
  const own = decideOn(seeDownload(download))
  if (own.kind === 'nothing' || own.kind === 'cancel') return own // no wish of the clone changes that
  return decideOn(seeDownload(download, (await cloneOf(deps, download)) ?? 'gone'))
}

async function underClaim(
  context: Context,
  ref: ObjectRef,
  deps: TransferDeps,
  download: KubeObject,
  step: DownloadStep,
  signal: AbortSignal,
  afterWork: () => void = () => undefined,
): Promise<string> {
  const claimed = await withClaim(
    deps,
    {
      kind: 'Download',
      object: download,
      firstPatch: firstPatch(deps, download, step),
      isCancelled: async (object) => step.kind !== 'cancel' && (await decide(deps, object)).kind === 'cancel',
      signal,
    },
    async (claim) => await keepOutcome(claim, await act(deps, claim, step)),
  )
  if (claimed.held) return 'claimed elsewhere'
  afterWork()
  const written = await writeEnding(deps, 'Download', claimed.object, claimed.value.ending)
  if (claimed.value.freeSlot) await giveSlot(deps, written)
  if (claimed.value.ending.step === 'done') {
    await wakeClone(deps, written)
    await settle(deps, 'Download', written)
  }
  // What was asked for while it was at work (a cancel) would wake nobody now: it is decided on the fresh object, right away.
  const asked = !signal.aborted && (await decide(deps, written)).kind === 'cancel'
  return asked ? await handleDownload(context, ref, deps, signal) : claimed.value.why
}

function firstPatch(deps: TransferDeps, download: KubeObject, step: DownloadStep): object {
  if (step.kind !== 'transfer') return { metadata: runningMetadata(download) }
  return beginSlice(deps, download, 'the backup is being written to the disk')
}

async function act(deps: TransferDeps, claim: Claim, step: DownloadStep): Promise<StepResult> {
  if (step.kind === 'cancel') return failed(deps, claim, 'Canceled', 'cancelled before all data was written')
  try {
    return await transfer(deps, claim)
  } catch (error) {
    if (isApiTrouble(error) || claim.signal.reason === ABORTS.lost) throw error
    if (claim.signal.reason === ABORTS.cancelled) return cutByCancel(deps, 'download', asError(error))
    return await recordFailure(deps, claim, asError(error))
  }
}

async function transfer(deps: TransferDeps, claim: Claim): Promise<StepResult> {
  const request = await prepare(deps, claim)
  const onProgress = (progress: DownloadProgress) => claim.report({ status: { progress: progressOf(progress) } })
  const outcome = await moved(deps, claim, (stop) => deps.mover.download(request, { ...stop, onProgress }))
  deps.countSlice(outcome.state)
  const nowMs = deps.clock.nowMs()
  if (outcome.state === 'more') {
    const { nextChunk, progress } = outcome
    const ended = endsFailures(claim.latest(), nextChunk > request.nextChunk)
    const status = { nextChunk, progress: progressOf(progress), ...ended }
    const why = claim.signal.reason === ABORTS.cancelled ? ABORTS.cancelled : 'slice done, more to write'
    return { ending: { status, step: 'download', dueAtMs: nowMs }, why, freeSlot: false }
  }
  const conditions = setCondition(
    claim.latest()['status']?.conditions,
    {
      type: 'Downloaded',
      status: 'True',
      reason: 'DataWritten',
      message: 'every byte was authenticated, written and flushed',
    },
    nowMs,
  )
  const status = {
    phase: 'Completed',
    message: 'Download completed',
    reason: 'Completed',
    completionTimestamp: rfc3339(nowMs),
    nextRetryTimestamp: null,
    volumeID: formatDiskId(request.disk.fcdId),
    progress: progressOf(outcome.progress),
    conditions,
  }
  await announce(deps, claim.latest(), 'Normal', 'Completed', 'the backup was written to the disk')
  return { ending: { status, step: 'done', dropFinalizer: true }, why: 'Completed', freeSlot: true }
}

async function prepare(deps: TransferDeps, claim: Claim): Promise<DownloadRequest> {
  const download = claim.latest()
  const source = parseDiskSnapshotId(download['spec'].snapshotID)
  const target = parseDiskId(download['spec'].protectedEntityID)
  const clone = await cloneOf(deps, download)
  await requireDownloadAllowed(deps, download, clone)
  const access = await deps.access(download['spec'].backupRepositoryName)
  const backup = await deps.repositories.find(access, source.fcdId, source.snapshotId)
  if (backup === undefined)
    throw new TerminalError('BackupNotFound', `the repository holds no sealed backup of ${download['spec'].snapshotID}`)
  await requireRestorePermit(deps, download, clone, backup)
  const facts = await deps.volumes.describe(target.fcdId)
  if (facts === undefined)
    throw new TerminalError('VolumeNotFound', `no configured vCenter knows the target disk ${target.fcdId}`)
  await tellRoot(claim, backup)
  if (facts.capacityBytes < backup.source.capacityBytes) {
    throw new TerminalError(
      'TargetTooSmall',
      `the target disk has ${sizeText(facts.capacityBytes)}, the backup needs ${sizeText(backup.source.capacityBytes)}`,
    )
  }
  return {
    repository: access,
    disk: { access: await deps.volumes.diskAccess(target.fcdId), fcdId: target.fcdId, snapshotId: undefined },
    root: backup.root,
    sliceMs: deps.settings.sliceMs,
    nextChunk: Number(claim.latest()['status']?.nextChunk ?? 0),
    targetIsZeroed: isZeroed(claim.latest()),
  }
}

/** What the clone function goes by: it opens no repository, and nobody else's word counts. */
async function tellRoot(claim: Claim, { root, about, source }: BackupSummary): Promise<void> {
  const download = claim.latest()
  const told = formatBackedUp(source.capacityBytes, { ...about, volume: source.volume })
  const isNew = download['status']?.root !== root
  if (!isNew && download.metadata.annotations?.[BACKED_UP_ANNOTATION] === told) return
  await claim.patch({
    metadata: { annotations: { [BACKED_UP_ANNOTATION]: told } },
    ...(isNew ? { status: beginRoot(download, root) } : {}),
  })
}

/** Another backup's data may be on the disk already: from now on its zeros are written too. Recorded before a byte is. */
function beginRoot(download: KubeObject, root: string): object {
  const isOther = (download['status']?.root ?? '') !== ''
  return { root, nextChunk: 0, ...(isOther ? { holdsOtherData: true } : {}) }
}

async function recordFailure(deps: TransferDeps, claim: Claim, error: Error): Promise<StepResult> {
  const nowMs = deps.clock.nowMs()
  const status = claim.latest()['status'] ?? {}
  const reason = reasonOf(deps, error)
  deps.countSlice('failed')
  await announce(deps, claim.latest(), 'Warning', reason, error.message)
  const failures = Number(status.retryCount ?? 0) + 1
  if (isHopelessDownload(reason) || failures > DOWNLOAD_RETRIES) return failed(deps, claim, reason, error.message)
  const conditions = setCondition(
    status.conditions,
    { type: 'Downloaded', status: 'False', reason, message: error.message },
    nowMs,
  )
  const untilMs = nowMs + DOWNLOAD_RETRY_UNITS * deps.settings.backoffUnitMs
  const retry = {
    phase: 'Retry',
    message: error.message,
    reason,
    retryCount: failures,
    nextRetryTimestamp: rfc3339(untilMs),
    conditions,
  }
  return { ending: { status: retry, step: 'waiting', dueAtMs: untilMs }, why: `failed: ${reason}`, freeSlot: true }
}

function failed(deps: TransferDeps, claim: Claim, reason: string, message: string): StepResult {
  const nowMs = deps.clock.nowMs()
  const conditions = setCondition(
    claim.latest()['status']?.conditions,
    { type: 'Downloaded', status: 'False', reason, message },
    nowMs,
  )
  const status = {
    phase: 'Failed',
    message,
    reason,
    completionTimestamp: rfc3339(nowMs),
    nextRetryTimestamp: null,
    conditions,
  }
  return { ending: { status, step: 'done', dropFinalizer: true }, why: `failed: ${reason}`, freeSlot: true }
}

/** The clone waits for this Download; it is due now. One that is not waiting is on it already, or over. */
async function wakeClone(deps: TransferDeps, download: KubeObject): Promise<void> {
  const clone = await cloneOf(deps, download)
  if (clone === undefined || stepOf(clone) !== 'waiting' || !isDownloadOf(download, clone)) return
  await deps.cluster.patch('CloneFromSnapshot', clone, { metadata: stepPatch('clone', deps.clock.nowMs()) })
}

/** The CloneFromSnapshot that it was made for; undefined when there is none, also when what names it is no name. */
async function cloneOf(deps: TransferDeps, download: KubeObject): Promise<KubeObject | undefined> {
  const [namespace, name, ...rest] = String(download['spec']?.clonefromSnapshotReference ?? '').split('/')
  if (!isNamespaceName(namespace) || !isObjectName(name) || rest.length > 0) return undefined
  return await deps.cluster.read('CloneFromSnapshot', namespace, name)
}

function progressOf(progress: DownloadProgress): object {
  const { bytesReceived, bytesWritten } = progress
  return { ...progressView(progress.bytesDone, progress.totalBytes), bytesReceived, bytesWritten }
}
