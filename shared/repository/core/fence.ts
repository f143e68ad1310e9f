// Gives a session up: writes a tombstone at the key of its root, where only one object can win.

import { RetryableError } from '#shared/kernel/errors.ts'
import { rootKey } from '#shared/repository/format/names.ts'
import { sealTombstone, type TombstoneWhy } from '#shared/repository/format/root.ts'
import { claimedKind, SEALED_PREFIX_BYTES } from '#shared/repository/format/sealed-object.ts'
import { putOnce } from './put-once.ts'
import type { Repository } from './repository.ts'

/** true: a tombstone is now at the root's key. false: a root is. `checkpoint`: see `sealTombstone`. */
export async function fenceSession(
  repository: Repository,
  session: string,
  why: TombstoneWhy,
  atMs: number,
  checkpoint?: string,
): Promise<boolean> {
  const key = rootKey(session)
  const tombstone = sealTombstone(repository.keys, session, { why, atMs, checkpoint })
  for (let round = 0; round < MOST_ROUNDS; round++) {
    if ((await putOnce(repository.store, key, tombstone)) === 'ours') return true
    const standing = await repository.store.getRange(key, 0, SEALED_PREFIX_BYTES)
    // The object was removed after the PUT, by a process that forgets the session: try again.
    if (standing !== undefined) return claimedKind(standing) === 'tombstone'
  }
  throw unconfirmed(repository, key)
}

/**
 * Other processes that work on the same root interfere once or twice. If it happens more often, the store does not do what it reports.
 */
export const MOST_ROUNDS = 10

export function unconfirmed({ store }: Repository, key: string): RetryableError {
  const what = `${store.location}/${key}: the store says that it deletes and writes, and a look at it shows otherwise`
  return new RetryableError('DeletionUnconfirmed', `${what}. Does a proxy or a cache answer in its place?`)
}
