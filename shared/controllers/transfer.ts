// What uploads and downloads share: a slot and a permit around the work, the first patch of a slice, and whose trouble an error is.

import type { KubeObject } from '#shared/api/kinds.ts'
import { conditionOf, setCondition } from '#shared/domain/conditions.ts'
import { stepPatch, withFinalizer } from '#shared/domain/step-label.ts'
import { STOOD_ASIDE_ANNOTATION } from '#shared/domain/waited-in-vain.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { DormouseError, RetryableError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { TransferOptions } from '#shared/ports/mover.ts'
import { ABORTS, type Claim } from './claim.ts'
import type { TransferDeps } from './deps.ts'
import { placeInQueue } from './queue.ts'
import { gateIn, giveSlot, makesRoom, takeSlot } from './slots.ts'
import type { Ending } from './write.ts'

type TransferKind = 'Upload' | 'Download'

/** What a claimed step leaves to be written. `freeSlot`: the volume moves no further for now. */
export type StepResult = { ending: Ending; why: string; freeSlot: boolean }

/**
 * A transfer needs a cluster-wide slot, and a permit of this process, whose memory is cut for so many transfers. `act` gives the
 * permit back before its last write, as that write's event may start the next slice at once.
 */
export async function withSlot(
  deps: TransferDeps,
  kind: TransferKind,
  object: KubeObject,
  act: (givePermit: () => void) => Promise<string>,
): Promise<string> {
  const slot = await takeSlot(deps, object)
  if (!slot.have) return await queue(deps, kind, object, slot.why)
  if (kind === 'Upload' && (await makesRoom(deps, object))) return await standAside(deps, object)
  if (!deps.permits.tryTake()) {
    const text = 'this pod moves another volume; another pod takes this one'
    throw new RetryableError('MoverBusy', text, { retryAfterSeconds: 2 })
  }
  let held = true
  const givePermit = () => {
    if (held) deps.permits.give()
    held = false
  }
  try {
    return await act(givePermit)
  } finally {
    givePermit()
  }
}

async function queue(
  deps: TransferDeps,
  kind: TransferKind,
  object: KubeObject,
  why: string,
  annotations: Record<string, string> = {},
): Promise<string> {
  const status = object['status'] ?? {}
  const queued = { type: 'Queued', status: 'True', reason: 'NoFreeSlot', message: why } as const
  const conditions = setCondition(status.conditions, queued, deps.clock.nowMs())
  const { labels, ...metadata } = stepPatch('queued')
  await deps.cluster.patch(kind, object, {
    metadata: {
      ...metadata,
      annotations: { ...metadata.annotations, ...annotations },
      labels: { ...labels, ...(await placeInQueue(deps, { ...object, kind })) },
    },
    status: { phase: status.phase ?? 'New', message: why, reason: 'NoFreeSlot', conditions },
  })
  // A slot may have come free between the look and the patch, when nobody was queued to be given it.
  await gateIn(deps)
  return 'queued'
}

/**
 * Queued first: a slice that another delivery has begun meanwhile makes that patch fail. A death before the slot is free leaves it with one
 * that waits, and the sweep takes it back.
 */
async function standAside(deps: TransferDeps, upload: KubeObject): Promise<string> {
  const why = 'makes room for a disk whose last backup was ended before it had a slot; it goes on from its checkpoint'
  const stoodAside = { [STOOD_ASIDE_ANNOTATION]: String(upload['status']?.slice ?? 0) }
  await queue(deps, 'Upload', upload, why, stoodAside)
  await giveSlot(deps, upload)
  return 'made room'
}

/** The patch that begins a slice: out of every selector, and one slice more than before. */
export function beginSlice(deps: TransferDeps, object: KubeObject, message: string): object {
  const status = object['status'] ?? {}
  return {
    metadata: runningMetadata(object),
    status: {
      phase: 'InProgress',
      message,
      reason: 'Transferring',
      slice: Number(status.slice ?? 0) + 1,
      processingNode: deps.settings.nodeName ?? deps.identity,
      startTimestamp: status.startTimestamp ?? rfc3339(deps.clock.nowMs()),
      ...noLongerQueued(deps, status),
    },
  }
}

export function runningMetadata(object: KubeObject): object {
  return { ...stepPatch('running'), finalizers: withFinalizer(object) }
}

function noLongerQueued(deps: TransferDeps, status: Record<string, never>): object {
  if (conditionOf(status['conditions'], 'Queued') === undefined) return {}
  const taken = { type: 'Queued', status: 'False', reason: 'SlotTaken', message: 'it has a transfer slot' } as const
  return { conditions: setCondition(status['conditions'], taken, deps.clock.nowMs()) }
}

/**
 * Writes the outcome's status while the Lease is still held: what a slice has done must not hang on one write that may meet another. The
 * label follows when the Lease is free, as its event starts the next step.
 */
export async function keepOutcome(claim: Claim, result: StepResult): Promise<StepResult> {
  await claim.endReports()
  const { status } = result.ending
  if (Object.keys(status).length === 0) return result
  await claim.patch({ status })
  return { ...result, ending: { ...result.ending, status: {} } }
}

/** Failures count in a row: a slice that got on ends the row. */
export function endsFailures(upload: KubeObject, gotOn: boolean): { retryCount?: 0 } {
  return gotOn && Number(upload['status']?.retryCount ?? 0) > 0 ? { retryCount: 0 } : {}
}

/** A mover stops within a second, unless it waits for a server that does not answer. */
const STOP_MS = 4 * SECOND_MS
/** All the time that its calls may take, to keep what it has done: the request's 600 s end the pod's patience. */
export const KEEP_MS = 45 * SECOND_MS

/**
 * What a cancelled transfer has still under way is for nobody, so a mover that does not stop is killed soon and not waited for: it rejects
 * then. One that is stopped for any other reason may be inside of a native call that never returns, and is killed later.
 */
export async function moved<Outcome>(
  deps: TransferDeps,
  claim: Claim,
  move: (stop: Pick<TransferOptions<never>, 'signal' | 'kill'>) => Promise<Outcome>,
): Promise<Outcome> {
  const over = new AbortController()
  const late = new AbortController()
  const killLate = async () => {
    const limitMs = claim.signal.reason === ABORTS.cancelled ? STOP_MS : KEEP_MS
    if (await isLate(deps, limitMs, over.signal)) late.abort()
  }
  claim.signal.addEventListener('abort', () => void killLate(), { once: true, signal: over.signal })
  if (claim.signal.aborted) void killLate()
  const kill = AbortSignal.any([claim.lost, late.signal])
  return await move({ signal: claim.signal, kill }).finally(() => over.abort())
}

/** Whether something has not come to an end by then; `over` aborts when it has. */
export async function isLate(deps: Pick<TransferDeps, 'clock'>, limitMs: number, over: AbortSignal): Promise<boolean> {
  await deps.clock.sleep(limitMs, over).catch(() => undefined)
  return !over.aborted
}

/** No failure of the transfer: what is to be done next is decided on the object, which is about to be read again. */
export function cutByCancel(deps: TransferDeps, step: 'upload' | 'download', error: Error): StepResult {
  deps.log.info({ err: error }, 'the slice was cut off by the cancel')
  return { ending: { status: {}, step, dueAtMs: deps.clock.nowMs() }, why: ABORTS.cancelled, freeSlot: false }
}

export function reasonOf(deps: TransferDeps, error: Error): string {
  if (error instanceof DormouseError) return error.reason
  deps.log.error({ err: error, reason: 'InternalError' }, 'the transfer failed unexpectedly')
  return 'InternalError'
}
