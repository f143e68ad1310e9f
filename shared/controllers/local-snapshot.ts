// Creates and removes FCD snapshots. The intent is recorded before the effect, tasks are polled with back-off, and a missing snapshot
// counts as removed.

import { snapshotUidIn } from '#shared/domain/orphans.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import type { FcdSnapshot, TaskRef, TaskState } from '#shared/ports/volumes.ts'
import type { VolumeDeps } from './deps.ts'

/** How long one request polls a task before it leaves the rest to the next request. A light function's request ends after 120 s. */
const LIGHT_POLL_MS = MINUTE_MS
/** The limit inside a heavy function's request, which ends after 600 s. */
export const HEAVY_POLL_MS = 4 * MINUTE_MS
const FIRST_POLL_MS = 200
const LAST_POLL_MS = 5 * SECOND_MS

export async function findSnapshot(
  deps: VolumeDeps,
  fcdId: string,
  descriptions: readonly string[],
): Promise<string | undefined> {
  return pickSnapshot(await deps.volumes.listSnapshots(fcdId), descriptions)
}

/** Returns the oldest snapshot that has one of the descriptions. Later ones are duplicates. */
export function pickSnapshot(all: readonly FcdSnapshot[], descriptions: readonly string[]): string | undefined {
  const mine = all
    .filter(({ description }) => descriptions.includes(description))
    .sort((a, b) => a.createdMs - b.createdMs)
  return mine[0]?.snapshotId
}

/** Returns `done` with the task's result, or `running` when the time of one request is over. Throws the faults of the task. */
export async function pollUntilDone(
  deps: VolumeDeps,
  task: TaskRef,
  signal: AbortSignal,
  limitMs = LIGHT_POLL_MS,
): Promise<TaskState> {
  const endMs = deps.clock.monotonicMs() + limitMs
  for (let waitMs = FIRST_POLL_MS; ; waitMs = Math.min(LAST_POLL_MS, waitMs * 2)) {
    const state = await deps.volumes.pollTask(task)
    if (state.state === 'done' || signal.aborted || deps.clock.monotonicMs() + waitMs > endMs) return state
    await deps.clock.sleep(waitMs, signal).catch(() => undefined)
  }
}

/**
 * Removes the snapshot. A snapshot or disk that is already gone counts as success. A snapshot that another cluster or program made is never
 * removed (`foreign`). A run that died after it started the task but before it recorded the result may have left a duplicate with the same
 * description; it is removed too. Throws RetryableError `SnapshotDeletionRunning` while vCenter is still removing it.
 */
export async function removeLocalSnapshot(
  deps: VolumeDeps,
  fcdId: string,
  snapshotId: string,
  signal: AbortSignal,
  limitMs = LIGHT_POLL_MS,
): Promise<'gone' | 'foreign'> {
  if ((await deps.volumes.describe(fcdId)) === undefined) return 'gone'
  const all = await deps.volumes.listSnapshots(fcdId)
  const known = all.find((snapshot) => snapshot.snapshotId === snapshotId)
  if (known === undefined) return 'gone'
  if (snapshotUidIn(known.description, await deps.clusterId()) === undefined) return 'foreign'
  for (const each of sameIntent(all, known)) await removeSnapshot(deps, fcdId, each, signal, limitMs)
  return 'gone'
}

/** The known snapshot comes last: while it exists, its description finds the duplicates again if one of them could not be removed. */
function sameIntent(all: readonly FcdSnapshot[], { snapshotId, description }: FcdSnapshot): string[] {
  const doubles = all.filter((snapshot) => snapshot.description === description && snapshot.snapshotId !== snapshotId)
  return [...doubles.map((snapshot) => snapshot.snapshotId), snapshotId]
}

/**
 * Removes exactly this snapshot. The caller has proved that Dormouse made it. Throws RetryableError `SnapshotDeletionRunning` while vCenter
 * is still removing it.
 */
export async function removeSnapshot(
  deps: VolumeDeps,
  fcdId: string,
  snapshotId: string,
  signal: AbortSignal,
  limitMs = LIGHT_POLL_MS,
): Promise<void> {
  const task = await deps.volumes.startDeleteSnapshot(fcdId, snapshotId)
  if (task === undefined) return
  const state = await pollUntilDone(deps, task, signal, limitMs)
  if (state.state === 'running') {
    throw new RetryableError(
      'SnapshotDeletionRunning',
      `vCenter is still removing snapshot ${snapshotId} of disk ${fcdId}`,
    )
  }
}
