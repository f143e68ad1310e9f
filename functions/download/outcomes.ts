// The outcomes of a download: every byte is written, or it failed and may be retried.

import type { Condition } from '#shared/api/kinds.ts'
import type { Download, StatusChangeOf } from '#shared/api/types.ts'
import type { Result, Work } from '#shared/controllers/controller.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { overWith } from '#shared/controllers/outcome.ts'
import { reasonOf } from '#shared/controllers/reason.ts'
import { cutByCancel, failuresWith } from '#shared/controllers/slice.ts'
import { setCondition } from '#shared/domain/conditions.ts'
import { DOWNLOAD_RETRIES, DOWNLOAD_RETRY_UNITS, isHopelessDownload } from '#shared/domain/download.ts'
import { formatDiskId } from '#shared/domain/ids.ts'
import { progressView } from '#shared/domain/progress.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import type { DownloadProgress } from '#shared/ports/mover.ts'

type DownloadWork = Work<'Download', TransferDeps>

export function complete({ deps, lease }: DownloadWork, fcdId: string, progress: DownloadProgress): Result<'Download'> {
  const nowMs = deps.clock.nowMs()
  const written = {
    type: 'Downloaded',
    status: 'True',
    reason: 'DataWritten',
    message: 'every byte was authenticated, written and flushed',
  } as const
  const status: StatusChangeOf<'Download'> = {
    phase: 'Completed',
    message: 'Download completed',
    reason: 'Completed',
    completionTimestamp: rfc3339(nowMs),
    nextRetryTimestamp: null,
    volumeID: formatDiskId(fcdId),
    progress: progressOf(progress),
    conditions: setCondition(lease.latest().status?.conditions, written, nowMs),
  }
  const event = ['Normal', 'Completed', 'the backup was written to the disk'] as const
  return { outcome: overWith(status), why: 'Completed', event }
}

/** Handles an error of any action. */
export async function recordFailure(work: DownloadWork, error: Error): Promise<Result<'Download'>> {
  const cut = cutByCancel<'Download'>(work, 'download', error)
  if (cut !== undefined) return cut
  const { deps, lease } = work
  const nowMs = deps.clock.nowMs()
  const reason = reasonOf(deps.log, error)
  deps.countSlice('failed')
  const event = ['Warning', reason, error.message] as const
  const failures = failuresWith(lease.latest().status ?? {})
  if (isHopelessDownload(reason) || failures > DOWNLOAD_RETRIES)
    return { ...endAsFailed(work, reason, error.message), event }
  const untilMs = nowMs + DOWNLOAD_RETRY_UNITS * deps.settings.backoffUnitMs
  const retry: StatusChangeOf<'Download'> = {
    phase: 'Retry',
    message: error.message,
    reason,
    retryCount: failures,
    nextRetryTimestamp: rfc3339(untilMs),
    conditions: notDownloaded(lease.latest(), reason, error.message, nowMs),
  }
  return { outcome: { status: retry, step: 'waiting', dueAtMs: untilMs }, why: `failed: ${reason}`, event }
}

export function endAsFailed({ deps, lease }: DownloadWork, reason: string, message: string): Result<'Download'> {
  const nowMs = deps.clock.nowMs()
  const status: StatusChangeOf<'Download'> = {
    phase: 'Failed',
    message,
    reason,
    completionTimestamp: rfc3339(nowMs),
    nextRetryTimestamp: null,
    conditions: notDownloaded(lease.latest(), reason, message, nowMs),
  }
  return { outcome: overWith(status), why: `failed: ${reason}` }
}

function notDownloaded(download: Download, reason: string, message: string, nowMs: number): Condition[] {
  const failed = { type: 'Downloaded', status: 'False', reason, message } as const
  return setCondition(download.status?.conditions, failed, nowMs)
}

export function progressOf(progress: DownloadProgress): NonNullable<StatusChangeOf<'Download'>['progress']> {
  const { bytesReceived, bytesWritten } = progress
  return { ...progressView(progress.bytesDone, progress.totalBytes), bytesReceived, bytesWritten }
}
