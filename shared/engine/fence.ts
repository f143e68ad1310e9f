// Gives a session up: a tombstone at its root's key, where only one can win.

import { rootKey } from '#shared/format/names.ts'
import { sealTombstone, type TombstoneWhy } from '#shared/format/root.ts'
import { claimedKind } from '#shared/format/sealed-object.ts'
import { putOnce } from './put-once.ts'
import type { Repository } from './repository.ts'

/** true: a tombstone stands at the root's key now. false: a root does. */
export async function fenceSession(
  repository: Repository,
  session: string,
  why: TombstoneWhy,
  atMs: number,
): Promise<boolean> {
  const key = rootKey(session)
  const tombstone = sealTombstone(repository.keys, session, { why, atMs })
  for (;;) {
    if ((await putOnce(repository.store, key, tombstone)) === 'ours') return true
    const standing = await repository.store.get(key)
    // Removed since the PUT: that was someone who forgets it, try again.
    if (standing !== undefined) return claimedKind(standing) === 'tombstone'
  }
}
