// What the slices of uploads and downloads share: the patch that begins one, how its mover is stopped, and how it ends.

import type { Condition } from '#shared/api/kinds.ts'
import type { StatusChangeOf, TransferObject } from '#shared/api/types.ts'
import { conditionOf, setCondition } from '#shared/domain/conditions.ts'
import { runningMetadata, stepPatch } from '#shared/domain/step-label.ts'
import { type Clock, rfc3339 } from '#shared/kernel/clock.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { TransferOptions } from '#shared/ports/mover.ts'
import type { Result } from './controller.ts'
import type { Log, TransferDeps } from './deps.ts'
import { ABORTS, type FirstPatch, type WorkLease } from './work-lease.ts'

type TransferKind = TransferObject['kind']

/** Until its next attempt. */
export async function park(
  { deps, object }: { deps: TransferDeps; object: TransferObject },
  { untilMs }: { untilMs: number },
): Promise<string> {
  await deps.cluster.patch(object.kind, object, { metadata: stepPatch('waiting', untilMs) })
  return 'not due yet'
}

/** The patch that begins a slice: out of every selector, and one slice more than before. */
export function beginSlice({
  deps,
  object,
}: {
  deps: TransferDeps
  object: TransferObject
}): FirstPatch<'Upload'> & FirstPatch<'Download'> {
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

/** Failures count in a row: a slice that got on ends the row. */
export function endsFailures(upload: TransferObject, gotOn: boolean): { retryCount?: 0 } {
  return gotOn && Number(upload.status?.retryCount ?? 0) > 0 ? { retryCount: 0 } : {}
}

/** How often it has failed in a row, this time included. */
export function failuresWith(status: { retryCount?: unknown }): number {
  return Number(status.retryCount ?? 0) + 1
}

/** A mover stops within a second, unless it waits for a server that does not answer. */
const STOP_MS = 4 * SECOND_MS
/** All the time that its calls may take, to keep what it has done: the request's 600 s end the pod's patience. */
export const KEEP_MS = 45 * SECOND_MS

/**
 * What a cancelled transfer has still under way is for nobody, so a mover that does not stop is killed soon and not waited for: it rejects
 * then. One that is stopped for any other reason may be inside of a native call that never returns, and is killed later.
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

/** Whether something has not come to an end by then; `over` aborts when it has. */
export async function isLate(clock: Clock, limitMs: number, over: AbortSignal): Promise<boolean> {
  await clock.sleep(limitMs, over).catch(() => undefined)
  return !over.aborted
}

/**
 * A cancel that cut the slice off is no failure of the transfer: what is to be done next is decided on the object, which is about to be read
 * again. undefined: no cancel did. Throws what the loss of the Lease brought about.
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

/** When a slice has ended in time, and there is more to do: due at once, unless it was a cancel that ended it. */
export function sliceDone<Name extends TransferKind>(
  { deps, lease }: { deps: TransferDeps; lease: Pick<WorkLease, 'signal'> },
  step: 'upload' | 'download',
  status: StatusChangeOf<Name>,
  why: string,
): Result<Name> {
  const isCut = lease.signal.reason === ABORTS.cancelled
  return { outcome: { status, step, dueAtMs: deps.clock.nowMs() }, why: isCut ? ABORTS.cancelled : why }
}

export function reasonOf(log: Log, error: Error): string {
  if (error instanceof DormouseError) return error.reason
  log.error({ err: error, reason: 'InternalError' }, 'the transfer failed unexpectedly')
  return 'InternalError'
}
