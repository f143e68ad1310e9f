// Whether a disk may be reverted to a snapshot that is older than its backup. After such a revert, change tracking uses the same epochs
// again.

import type { ListedSnapshot } from './orphans.ts'

/**
 * On an Upload that the snapshot function made: the id of its disk snapshot, if no older snapshot existed when it was taken. Absent: an
 * older one existed, or this is unknown.
 */
export const NO_OLDER_SNAPSHOT_ANNOTATION = 'dormouse.dev/no-older-snapshot'

/**
 * `before`: the snapshots right before the task began; `after`: those when it was over; `taken`: the one that the task made. The list after
 * the task alone misses a snapshot that was removed meanwhile, and the list before it alone misses one that was added meanwhile. Any other
 * snapshot, of any age, makes the result uncertain.
 */
export function isTakenAlone(
  before: readonly ListedSnapshot[],
  after: readonly ListedSnapshot[],
  taken: string | undefined,
): boolean {
  return before.length === 0 && after.length === 1 && after[0]?.snapshotId === taken
}

/** Uses vCenter's clock, on which two snapshots may have the same time. */
export function hasOlder(all: readonly ListedSnapshot[], own: ListedSnapshot): boolean {
  return all.some((each) => each.snapshotId !== own.snapshotId && each.createdMs <= own.createdMs)
}
