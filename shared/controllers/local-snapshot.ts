// Making and removing FCD snapshots: intent before effect, tasks polled with back-off, gone counts as removed.

import { snapshotUidIn } from '#shared/domain/orphans.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import type { FcdSnapshot, TaskRef, TaskState } from '#shared/ports/volumes.ts'
import type { VolumeDeps } from './deps.ts'

/** How long one request polls a task before it lets the next one go on: a light function's request ends after 120 s. */
export const LIGHT_POLL_MS = MINUTE_MS
/** Inside a heavy function's request, which ends after 600 s. */
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

/** The oldest snapshot with one of the descriptions; later ones would be doubles. */
export function pickSnapshot(all: readonly FcdSnapshot[], descriptions: readonly string[]): string | undefined {
  const mine = all
    .filter(({ description }) => descriptions.includes(description))
    .sort((a, b) => a.createdMs - b.createdMs)
  return mine[0]?.snapshotId
}

/** `done` with the task's result, or `running` when the time for one request is over. Faults of the task are thrown. */
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
 * Removes the snapshot; it or its disk being gone is a success. One that another cluster or program has made stays, whoever asks
 * (`foreign`). A run that died between starting the task and writing it down may have left a double under the same name: it goes too.
 * RetryableError `SnapshotDeletionRunning`: vCenter is still at it.
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

/** The one that is known comes last: by its name the others are found again when one of them does not go. */
function sameIntent(all: readonly FcdSnapshot[], { snapshotId, description }: FcdSnapshot): string[] {
  const doubles = all.filter((snapshot) => snapshot.description === description && snapshot.snapshotId !== snapshotId)
  return [...doubles.map((snapshot) => snapshot.snapshotId), snapshotId]
}

/** Exactly this one, which the caller has proved to be ours. RetryableError `SnapshotDeletionRunning`: vCenter is still at it. */
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
