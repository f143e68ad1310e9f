// The task that a Snapshot's status names. Users can write the status, so it may be any task in vCenter (docs/design/0004-trust.md). Each
// request waits for it for a few seconds only, the total wait is limited, and what vCenter reports about it is not shown.

import type { Snapshot } from '#shared/api/types.ts'
import type { VolumeDeps } from '#shared/controllers/deps.ts'
import { pollUntilDone } from '#shared/controllers/local-snapshot.ts'
import { CLOCKS_DIFFER_MS } from '#shared/domain/waits.ts'
import { DormouseError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { TaskRef } from '#shared/ports/volumes.ts'

const TOLD_POLL_MS = 4 * SECOND_MS

/** `over`: only the disk snapshot shows how the task ended. Throws RetryableError if vCenter cannot answer now. */
export async function pollToldTask(deps: VolumeDeps, task: TaskRef, signal: AbortSignal): Promise<'running' | 'over'> {
  try {
    return (await pollUntilDone(deps, task, signal, TOLD_POLL_MS)).state === 'running' ? 'running' : 'over'
  } catch (error) {
    if (!(error instanceof DormouseError)) throw error
    deps.log.warn({ err: error, task }, "the task that the Snapshot's status names gave no result")
    if (error instanceof TerminalError || ['TaskFailed', 'TaskNotFound'].includes(error.reason)) return 'over'
    throw new RetryableError(error.reason, 'vCenter cannot tell for now whether the disk snapshot is taken', {
      cause: error,
    })
  }
}

/** When the work began, limited to plausible values: not before the Snapshot was created, and not in the future. */
export function startedMs({ cluster }: VolumeDeps, { metadata, ...snapshot }: Snapshot): number {
  const nowMs = cluster.nowMs()
  const { startTimestamp, task } = snapshot.status ?? {}
  const createdMs = Math.min(Date.parse(metadata.creationTimestamp ?? '') || nowMs, nowMs)
  const toldMs = Date.parse(startTimestamp ?? '') || (task === undefined ? nowMs : createdMs)
  return toldMs > nowMs + CLOCKS_DIFFER_MS ? createdMs : Math.max(toldMs, createdMs)
}

export function isOverdue(deps: VolumeDeps, snapshot: Snapshot): boolean {
  return deps.cluster.nowMs() - startedMs(deps, snapshot) >= deps.settings.snapshotTimeoutMs
}
