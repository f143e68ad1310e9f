// The task that a Snapshot's status names. Users can write it, so it may be any task of vCenter (docs/design/0004-trust.md): it is waited for, a few
// seconds in each request and not for ever, and what vCenter says about it is not shown.

import type { Snapshot } from '#shared/api/types.ts'
import type { VolumeDeps } from '#shared/controllers/deps.ts'
import { pollUntilDone } from '#shared/controllers/local-snapshot.ts'
import { CLOCKS_DIFFER_MS } from '#shared/domain/waits.ts'
import { DormouseError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { TaskRef } from '#shared/ports/volumes.ts'

const TOLD_POLL_MS = 4 * SECOND_MS

/** `over`: how it has ended is seen by the disk snapshot alone. RetryableError: vCenter cannot tell for now. */
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

/** When its work began, as far as that can be true: not before the Snapshot was made, and not in times to come. */
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
