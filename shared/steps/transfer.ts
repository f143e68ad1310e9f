// What uploads and downloads share: a slot and a permit around the work, the first patch of a slice, and whose trouble an error is.

import type { KubeObject } from '#shared/api/kinds.ts'
import { conditionOf, setCondition } from '#shared/domain/conditions.ts'
import { stepPatch, withFinalizer } from '#shared/domain/step-label.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { ConflictError, DormouseError, RetryableError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { ABORTS, type Claim } from './claim.ts'
import type { TransferDeps } from './deps.ts'
import { placeInQueue } from './queue.ts'
import { gateIn, takeSlot } from './slots.ts'
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

async function queue(deps: TransferDeps, kind: TransferKind, object: KubeObject, why: string): Promise<string> {
  const status = object['status'] ?? {}
  const queued = { type: 'Queued', status: 'True', reason: 'NoFreeSlot', message: why } as const
  const conditions = setCondition(status.conditions, queued, deps.clock.nowMs())
  const { labels, ...metadata } = stepPatch('queued')
  await deps.cluster.patch(kind, object, {
    metadata: { ...metadata, labels: { ...labels, ...(await placeInQueue(deps, { ...object, kind })) } },
    status: { phase: status.phase ?? 'New', message: why, reason: 'NoFreeSlot', conditions },
  })
  // A slot may have come free between the look and the patch, when nobody was queued to be given it.
  await gateIn(deps)
  return 'queued'
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

/** A mover stops within a second, unless it waits for a server that does not answer. */
const STOP_MS = 4 * SECOND_MS

/**
 * What a cancelled transfer has still under way is for nobody, so a mover that does not stop is killed and not waited for: it rejects then.
 * One that is stopped for any other reason has all the time that its calls may take, to keep what it has done.
 */
export async function moved<Outcome>(deps: TransferDeps, claim: Claim, moving: Promise<Outcome>): Promise<Outcome> {
  const over = new AbortController()
  const killLate = async () => {
    if (claim.signal.reason === ABORTS.cancelled) await killAfter(deps, STOP_MS, over.signal)
  }
  claim.signal.addEventListener('abort', () => void killLate(), { once: true, signal: over.signal })
  if (claim.signal.aborted) void killLate()
  return await moving.finally(() => over.abort())
}

/** Kills the mover when it has not come to an end by then; `over` aborts when it has. */
export async function killAfter(deps: TransferDeps, ms: number, over: AbortSignal): Promise<void> {
  await deps.clock.sleep(ms, over).catch(() => undefined)
  if (!over.aborted) deps.mover.kill()
}

/** No failure of the transfer: what is to be done next is decided on the object, which is about to be read again. */
export function cutByCancel(deps: TransferDeps, step: 'upload' | 'download', error: Error): StepResult {
  deps.log.info({ err: error }, 'the slice was cut off by the cancel')
  return { ending: { status: {}, step, dueAtMs: deps.clock.nowMs() }, why: ABORTS.cancelled, freeSlot: false }
}

/** Progress is news for people only: a write that fails is made up for by the next. */
export function reportProgress(deps: TransferDeps, claim: Claim, progress: object): void {
  claim
    .patch({ status: { progress } })
    .catch((error: unknown) => deps.log.debug({ err: error }, 'progress was not written'))
}

/** Trouble of the Kubernetes API is answered with 503 and leaves the status alone: it is no failure of the transfer. */
export function isNotOurs(error: unknown): boolean {
  if (error instanceof ConflictError) return true
  return error instanceof DormouseError && (error.reason.startsWith('Kubernetes') || error.reason === 'LeaseLost')
}

export function reasonOf(deps: TransferDeps, error: Error): string {
  if (error instanceof DormouseError) return error.reason
  deps.log.error({ err: error, reason: 'InternalError' }, 'the transfer failed unexpectedly')
  return 'InternalError'
}
