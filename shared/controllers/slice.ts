// Shared by the slices of uploads and downloads: the patch that begins a slice, how its mover is stopped, and how it ends.

import type { Condition } from '#shared/api/kinds.ts'
import type { StatusChangeOf, TransferObject } from '#shared/api/types.ts'
import { conditionOf, setCondition } from '#shared/domain/conditions.ts'
import { runningMetadata, stepPatch } from '#shared/domain/step-label.ts'
import { type Clock, rfc3339 } from '#shared/kernel/clock.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { TransferOptions } from '#shared/ports/mover.ts'
import type { Result } from './controller.ts'
import type { TransferDeps } from './deps.ts'
import { ABORTS, type FirstPatch, type WorkLease } from './work-lease.ts'

type TransferKind = TransferObject['kind']
/** Of an upload or of a download. */
export type TransferRun = { deps: TransferDeps; object: TransferObject }

/** Parks the object until its next attempt. */
export async function park({ deps, object }: TransferRun, { untilMs }: { untilMs: number }): Promise<string> {
  await deps.cluster.patch(object.kind, object, { metadata: stepPatch('waiting', untilMs) })
  return 'not due yet'
}

/** The patch that begins a slice. It takes the object out of every selector and increases the slice counter. */
export function beginSlice({ deps, object }: TransferRun): FirstPatch<'Upload'> & FirstPatch<'Download'> {
  const status = object.status ?? {}
  return {
    metadata: runningMetadata(object),
    status: {
      phase: 'InProgress',
      message: BEGUN[object.kind],
      reason: 'Transferring',
      slice: Number(status.slice ?? 0) + 1,
      processingNode: deps.settings.nodeName ?? deps.identity,
      startTimestamp: status.startTimestamp ?? rfc3339(deps.clock.nowMs()),
      ...noLongerQueued(status.conditions, deps.clock.nowMs()),
    },
  }
}

const BEGUN: Record<TransferKind, string> = {
  Upload: 'the snapshot is being uploaded',
  Download: 'the backup is being written to the disk',
}

function noLongerQueued(conditions: Condition[] | undefined, nowMs: number): { conditions?: Condition[] } {
  if (conditionOf(conditions, 'Queued') === undefined) return {}
  const taken = { type: 'Queued', status: 'False', reason: 'SlotTaken', message: 'it has a transfer slot' } as const
  return { conditions: setCondition(conditions, taken, nowMs) }
}

/** Only consecutive failures count: a slice that made progress resets the counter. */
export function endsFailures({ status }: TransferObject, gotOn: boolean): { retryCount?: 0 } {
  return gotOn && Number(status?.retryCount ?? 0) > 0 ? { retryCount: 0 } : {}
}

/** How many times in a row the transfer has failed, including this failure. */
export function failuresWith(status: { retryCount?: unknown }): number {
  return Number(status.retryCount ?? 0) + 1
}

/** A mover stops within a second, unless it waits for a server that does not answer. */
const STOP_MS = 4 * SECOND_MS
/** How long the mover's remaining calls may take in total to save its progress. The pod waits no longer than the 600 s of a request. */
export const KEEP_MS = 45 * SECOND_MS

/**
 * The unfinished data of a cancelled transfer is not needed, so a mover that does not stop is killed after a short time and rejects. A
 * mover that is stopped for another reason may be inside a native call that never returns; it is killed later.
 */
export async function moved<End>(
  clock: Clock,
  lease: Pick<WorkLease, 'signal' | 'lost'>,
  move: (stop: Pick<TransferOptions<never>, 'signal' | 'kill'>) => Promise<End>,
): Promise<End> {
  const over = new AbortController()
  const late = new AbortController()
  const killLate = async () => {
    const limitMs = lease.signal.reason === ABORTS.cancelled ? STOP_MS : KEEP_MS
    if (await isLate(clock, limitMs, over.signal)) late.abort()
  }
  lease.signal.addEventListener('abort', () => void killLate(), { once: true, signal: over.signal })
  if (lease.signal.aborted) void killLate()
  const kill = AbortSignal.any([lease.lost, late.signal])
  return await move({ signal: lease.signal, kill }).finally(() => over.abort())
}

/** true if the work has not ended within `limitMs`. `over` aborts when the work ends. */
export async function isLate(clock: Clock, limitMs: number, over: AbortSignal): Promise<boolean> {
  await clock.sleep(limitMs, over).catch(() => undefined)
  return !over.aborted
}

/**
 * A slice that a cancel interrupted is not a failure of the transfer. The next step is decided from the object, which is about to be read
 * again. Returns undefined if no cancel interrupted the slice. Rethrows an error that the loss of the Lease caused.
 */
export function cutByCancel<Name extends TransferKind>(
  { deps, lease }: { deps: TransferDeps; lease: Pick<WorkLease, 'signal'> },
  step: 'upload' | 'download',
  error: Error,
): Result<Name> | undefined {
  if (lease.signal.reason === ABORTS.lost) throw error
  if (lease.signal.reason !== ABORTS.cancelled) return undefined
  deps.log.info({ err: error }, 'the slice was cut off by the cancel')
  return { outcome: { status: {} as StatusChangeOf<Name>, step, dueAtMs: deps.clock.nowMs() }, why: ABORTS.cancelled }
}

/** The result of a slice that ended in time with work left. The object is due at once, unless a cancel ended the slice. */
export function sliceDone<Name extends TransferKind>(
  { deps, lease }: { deps: TransferDeps; lease: Pick<WorkLease, 'signal'> },
  step: 'upload' | 'download',
  status: StatusChangeOf<Name>,
  why: string,
): Result<Name> {
  const isCut = lease.signal.reason === ABORTS.cancelled
  return { outcome: { status, step, dueAtMs: deps.clock.nowMs() }, why: isCut ? ABORTS.cancelled : why }
}
