// Whether a disk may be reverted to a snapshot that is older than its backup: its change tracking then gives the same epochs once more.

import type { ListedSnapshot } from './orphans.ts'

/**
 * On an Upload that the snapshot function made: the id of its disk snapshot, which had no older one beside it when it was taken. Absent:
 * one stood, or nobody knows.
 */
export const NO_OLDER_SNAPSHOT_ANNOTATION = 'dormouse.dev/no-older-snapshot'

/**
 * `before`: listed right before the task began; `after`: when it was over; `taken`: what the task has made. A look afterwards alone does not
 * see one that is gone since, a look before alone not one that came in between. Whatever else stands, of any age, makes it unknown.
 */
export function isTakenAlone(
  before: readonly ListedSnapshot[],
  after: readonly ListedSnapshot[],
  taken: string | undefined,
): boolean {
  return before.length === 0 && after.length === 1 && after[0]?.snapshotId === taken
}

/** By vCenter's clock, of which two may have the same moment. */
export function hasOlder(all: readonly ListedSnapshot[], own: ListedSnapshot): boolean {
  return all.some((each) => each.snapshotId !== own.snapshotId && each.createdMs <= own.createdMs)
}
