// Moves one slice of a snapshot into the repository; after the last one it seals the backup and removes the local snapshot.

import type { KubeObject } from '#shared/api/kinds.ts'
import { ABORTS, type Claim, withClaim } from '#shared/controllers/claim.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { mirrorToSnapshot, snapshotOf } from '#shared/controllers/mirror.ts'
import { giveSlot } from '#shared/controllers/slots.ts'
import {
  beginSlice,
  cutByCancel,
  endsFailures,
  keepOutcome,
  moved,
  runningMetadata,
  type StepResult,
  withSlot,
} from '#shared/controllers/transfer.ts'
import { settle, writeEnding } from '#shared/controllers/write.ts'
import { stepPatch } from '#shared/domain/step-label.ts'
import { decideUpload, seeUpload, type UploadSeen, type UploadStep } from '#shared/domain/upload.ts'
import { withBelievedRetry } from '#shared/domain/waits.ts'
import { asError, isApiTrouble } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import type { UploadEnd, UploadOutcome, UploadProgress, UploadRequest } from '#shared/ports/mover.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { abort, cleanUp, type DiskState, progressOf, recordFailure, seal } from './endings.ts'
import { type PreparedUpload, prepareUpload } from './prepare.ts'

const SHOW_EVERY_MS = 10 * SECOND_MS

/** One delivery does at most one step. Safe twice and in any order: it trusts the object, never the event. */
export async function handleUpload(
  context: Context,
  ref: ObjectRef,
  deps: TransferDeps,
  signal: AbortSignal,
): Promise<string> {
  // Whoever may create one elsewhere is no operator: its ids and its reference prove nothing.
  if (ref.namespace !== deps.settings.veleroNamespace) return 'not in the Velero namespace'
  const upload = await deps.cluster.read('Upload', ref.namespace, ref.name)
  if (upload === undefined) return 'gone'
  const step = await decide(deps, upload)
  switch (step.kind) {
    case 'nothing':
      await giveSlot(deps, upload)
      await show(deps, upload)
      await settle(deps, 'Upload', upload)
      return step.why
    case 'wait':
      return await park(deps, upload, step.untilMs)
    case 'transfer':
      return await withSlot(deps, 'Upload', upload, (done) =>
        underClaim(context, ref, deps, upload, step, signal, done),
      )
    case 'cleanup':
    case 'abort':
      return await underClaim(context, ref, deps, upload, step, signal)
    default:
      return unreachable(step)
  }
}

/** A Snapshot that was cancelled or deleted wakes nobody while its Upload is at work: so the Upload looks at it, too. */
async function decide(deps: TransferDeps, upload: KubeObject): Promise<UploadStep> {
  const nowMs = deps.clock.nowMs()
  const decideOn = (seen: UploadSeen) =>
    decideUpload(withBelievedRetry('Upload', seen, nowMs, deps.settings.backoffUnitMs), nowMs)
  const own = decideOn(seeUpload(upload))
  if (own.kind === 'nothing' || own.kind === 'abort') return own // no wish of the Snapshot changes that
  return decideOn(seeUpload(upload, await snapshotOf(deps, upload)))
}

async function park(deps: TransferDeps, upload: KubeObject, untilMs: number): Promise<string> {
  await deps.cluster.patch('Upload', upload, { metadata: stepPatch('waiting', untilMs) })
  return 'not due yet'
}

async function underClaim(
  context: Context,
  ref: ObjectRef,
  deps: TransferDeps,
  upload: KubeObject,
  step: UploadStep,
  signal: AbortSignal,
  afterWork: () => void = () => undefined,
): Promise<string> {
  const claimed = await withClaim(
    deps,
    {
      kind: 'Upload',
      object: upload,
      firstPatch: firstPatch(deps, upload, step),
      isCancelled: async (object) => step.kind !== 'abort' && (await decide(deps, object)).kind === 'abort',
      signal,
    },
    async (claim) => await keepOutcome(claim, await act(deps, claim, step)),
  )
  if (claimed.held) return 'claimed elsewhere'
  afterWork()
  const written = await writeEnding(deps, 'Upload', claimed.object, claimed.value.ending)
  if (claimed.value.freeSlot) await giveSlot(deps, written)
  await show(deps, written)
  if (claimed.value.ending.step === 'done') await settle(deps, 'Upload', written)
  // What was asked for while it was at work (a cancel) would wake nobody now: it is decided on the fresh object, right away.
  const asked = step.kind !== 'abort' && !signal.aborted && (await decide(deps, written)).kind === 'abort'
  return asked ? await handleUpload(context, ref, deps, signal) : claimed.value.why
}

function firstPatch(deps: TransferDeps, upload: KubeObject, step: UploadStep): object {
  if (step.kind === 'transfer') return beginSlice(deps, upload, 'the snapshot is being uploaded')
  const metadata = runningMetadata(upload)
  if (step.kind !== 'abort') return { metadata }
  return { metadata, status: { phase: 'Canceling', message: 'the upload is being cancelled', reason: 'Canceling' } }
}

async function act(deps: TransferDeps, claim: Claim, step: UploadStep): Promise<StepResult> {
  try {
    if (step.kind === 'abort') return await abort(deps, claim)
    if (step.kind === 'cleanup') return await cleanUp(deps, claim, step.ends)
    await show(deps, claim.latest())
    return await transfer(deps, claim)
  } catch (error) {
    if (isApiTrouble(error) || claim.signal.reason === ABORTS.lost) throw error
    if (claim.signal.reason === ABORTS.cancelled) return cutByCancel(deps, 'upload', asError(error))
    return await recordFailure(deps, claim, asError(error))
  }
}

async function transfer(deps: TransferDeps, claim: Claim): Promise<StepResult> {
  const prepared = await prepareUpload(deps, claim)
  if (prepared.kind === 'sealed') return await seal(deps, claim, { root: prepared.root }, 'perhaps held')
  const showInSnapshot = seldom(deps, () => mirrorToSnapshot(deps, claim.latest()))
  const onProgress = (progress: UploadProgress) => {
    claim.report({ status: { progress: progressOf(progress) } })
    showInSnapshot()
  }
  const move = (request: UploadRequest) =>
    moved(deps, claim, (stop) => deps.mover.upload(request, { ...stop, onProgress }))
  const outcome = await withPlan(move, prepared)
  deps.countSlice(outcome.state === 'sealed' ? 'done' : 'more')
  if (outcome.state === 'sealed') return await seal(deps, claim, outcome, leftBy(claim))
  return afterSlice(deps, claim, outcome)
}

/** A death before the first checkpoint, or a store that has lost it, left no plan. */
async function withPlan(
  move: (request: UploadRequest) => Promise<UploadOutcome>,
  { request, withAreas }: Extract<PreparedUpload, { kind: 'ready' }>,
): Promise<UploadEnd> {
  const first = await move(request)
  const outcome = first.state === 'unplanned' ? await move(await withAreas()) : first
  if (outcome.state !== 'unplanned') return outcome
  throw new Error('the mover asks for the changed areas that it was given')
}

/** In the first slice nobody else had the disk. Later a mover that was paused, and has lost its Lease, may open it until the snapshot is gone. */
function leftBy(claim: Claim): DiskState {
  return Number(claim.latest()['status']?.slice) === 1 ? 'closed' : 'perhaps held'
}

/**
 * News for whoever looks at the Snapshot, and never worth an upload: who keeps writing to a Snapshot would hold its Upload and its slot. What
 * is not shown here the Snapshot's own function shows, which the sweep wakes.
 */
async function show(deps: TransferDeps, upload: KubeObject): Promise<void> {
  try {
    await mirrorToSnapshot(deps, upload)
  } catch (error) {
    deps.log.warn(
      { err: asError(error) },
      'the Snapshot does not show how far its Upload is; the sweep makes up for it',
    )
  }
}

/** At most every ten seconds; what it could not show, the next call shows. */
function seldom(deps: TransferDeps, show: () => Promise<void>): () => void {
  let shownAtMs = deps.clock.monotonicMs()
  return () => {
    if (deps.clock.monotonicMs() - shownAtMs < SHOW_EVERY_MS) return
    shownAtMs = deps.clock.monotonicMs()
    show().catch((error: unknown) => deps.log.debug({ err: error }, 'the Snapshot does not show the progress'))
  }
}

function afterSlice(
  deps: TransferDeps,
  claim: Claim,
  { progress, bytesBefore }: Extract<UploadEnd, { state: 'more' }>,
): StepResult {
  // Not by the status: a slice that died has told of what was not durable.
  const gotOn = progress.bytesDone > bytesBefore
  const status = { progress: progressOf(progress), ...endsFailures(claim.latest(), gotOn) }
  const why = claim.signal.reason === ABORTS.cancelled ? ABORTS.cancelled : 'slice done, more to move'
  return { ending: { status, step: 'upload', dueAtMs: deps.clock.nowMs() }, why, freeSlot: false }
}
