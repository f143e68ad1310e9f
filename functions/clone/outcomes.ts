// The outcomes of a restore (handed over, failed, cancelled), and its waits until then.

import type { Download, StatusChangeOf } from '#shared/api/types.ts'
import { announce } from '#shared/controllers/announce.ts'
import { isPassing, type Result, type Work } from '#shared/controllers/controller.ts'
import { overWith } from '#shared/controllers/outcome.ts'
import { lookAgainMs, pollUntil, STOP_LOOK_MS } from '#shared/controllers/poll.ts'
import { conditionOf, setCondition } from '#shared/domain/conditions.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { ConflictError, type DormouseError, TerminalError } from '#shared/kernel/errors.ts'
import { isEnded, readDownload, releaseDownload, stopDownload } from './download.ts'
import { handOver } from './hand-over.ts'
import { removeStaged } from './leftovers.ts'
import { isTold } from './patience.ts'
import { storedClaim } from './prepare.ts'
import { awaitStagingGone } from './staging-claim.ts'
import { tellWaitingClaim } from './waiting-claim.ts'

export async function complete({ deps, lease }: Work<'CloneFromSnapshot'>): Promise<Result<'CloneFromSnapshot'>> {
  const download = await readDownload(deps, lease.latest())
  // The Download existed when the decision was made. Without it, the next delivery makes another.
  if (download === undefined) throw new ConflictError('Gone', 'the Download is gone')
  await handOver(deps, lease, download, storedClaim)
  const nowMs = deps.clock.nowMs()
  const clone = lease.latest()
  const conditions = setCondition(
    clone.status?.conditions,
    { type: 'Restored', status: 'True', reason: 'HandedOver', message: 'the claim is bound to the restored volume' },
    nowMs,
  )
  const status: StatusChangeOf<'CloneFromSnapshot'> = {
    phase: 'Completed',
    ...progressOf(download),
    message: 'Download completed',
    reason: 'Completed',
    completionTimestamp: rfc3339(nowMs),
    resourceHandle: { apiGroup: '', kind: 'PersistentVolumeClaim', name: download.spec.protectedEntityID },
    conditions,
  }
  await announce(deps, clone, 'Normal', 'Completed', 'the claim was restored')
  await lease.patchStatus(status)
  await releaseDownload(deps, clone)
  return { outcome: overWith(status), why: 'Completed' }
}

export async function failWithDownload(work: Work<'CloneFromSnapshot'>): Promise<Result<'CloneFromSnapshot'>> {
  const { deps, lease } = work
  const download = await readDownload(deps, lease.latest())
  const status = download?.status ?? {}
  return await endAsFailed(
    work,
    status.reason ?? 'DownloadFailed',
    `its Download failed: ${status.message ?? 'no message'}`,
  )
}

export async function recordFailure(
  work: Work<'CloneFromSnapshot'>,
  error: Error,
): Promise<Result<'CloneFromSnapshot'>> {
  if (isPassing(error)) return await later(work, error)
  if (error instanceof TerminalError) return await failedOrLater(work, error)
  throw error
}

/** Something that must be removed first may stay for a while, such as a staging claim that a Pod uses. */
async function failedOrLater(
  work: Work<'CloneFromSnapshot'>,
  error: TerminalError,
): Promise<Result<'CloneFromSnapshot'>> {
  try {
    return await endAsFailed(work, error.reason, error.message)
  } catch (left) {
    if (isPassing(left)) return await later(work, left)
    throw left
  }
}

/** The staged disk is removed with its claim: a failed restore leaves nothing behind. */
async function endAsFailed(
  { deps, lease }: Work<'CloneFromSnapshot'>,
  reason: string,
  message: string,
): Promise<Result<'CloneFromSnapshot'>> {
  const nowMs = deps.clock.nowMs()
  const clone = lease.latest()
  await removeStaged(deps, clone, lease)
  await announce(deps, clone, 'Warning', reason, message)
  await tellWaitingClaim(deps, clone, 'Warning', reason, `${message}; no volume comes, delete the claim`)
  const conditions = setCondition(
    clone.status?.conditions,
    { type: 'Restored', status: 'False', reason, message },
    nowMs,
  )
  const completionTimestamp = rfc3339(nowMs)
  const status = { phase: 'Failed', message, reason, completionTimestamp, conditions } as const
  await lease.patchStatus(status)
  await releaseDownload(deps, clone)
  return { outcome: overWith(status), why: `failed: ${reason}` }
}

async function later(
  { deps, lease }: Work<'CloneFromSnapshot'>,
  error: DormouseError,
): Promise<Result<'CloneFromSnapshot'>> {
  const nowMs = deps.clock.nowMs()
  const before = conditionOf(lease.latest().status?.conditions, 'Restored')
  if (isTold(error.reason) && before?.reason !== error.reason) {
    await announce(deps, lease.latest(), 'Warning', error.reason, error.message)
    await tellWaitingClaim(deps, lease.latest(), 'Warning', error.reason, error.message)
  }
  const since = before?.reason === error.reason ? before.lastTransitionTime : undefined
  const conditions = setCondition(
    lease.latest().status?.conditions,
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

/** Stops the Download first: while it may write, its disk stays. */
export async function abort({ deps, lease }: Work<'CloneFromSnapshot'>): Promise<Result<'CloneFromSnapshot'>> {
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
  const status: StatusChangeOf<'CloneFromSnapshot'> = {
    phase: 'Canceled',
    reason: 'Canceled',
    message: 'cancelled; the staged disk is removed',
    completionTimestamp: rfc3339(deps.clock.nowMs()),
  }
  return { outcome: overWith(status), why: 'Canceled' }
}

export function progressOf(download: Download | undefined): Pick<StatusChangeOf<'CloneFromSnapshot'>, 'progress'> {
  const { totalBytes, bytesDone, percent, summary } = download?.status?.progress ?? {}
  return totalBytes === undefined ? {} : { progress: { totalBytes, bytesDone, percent, summary } }
}
