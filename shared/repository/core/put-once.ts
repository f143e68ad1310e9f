// Writes an object that must be ours. A PUT whose answer got lost is repeated by the store and then finds itself.

import type { ObjectStore } from '#shared/ports/object-store.ts'
import { SEALED_PREFIX_BYTES } from '#shared/repository/format/sealed-object.ts'

/**
 * 'ours': it stands there now, written by this call. 'theirs': something else stands there. Told apart by the first
 * bytes, which hold a random salt in every object of the format but the config.
 */
export async function putOnce(
  store: ObjectStore,
  key: string,
  body: Uint8Array,
  signal?: AbortSignal,
): Promise<'ours' | 'theirs'> {
  if (await store.putIfAbsent(key, body, signal)) return 'ours'
  const found = await store.getRange(key, 0, SEALED_PREFIX_BYTES, signal)
  // Deleted in between: whoever did that knows better than to see it again.
  if (found === undefined) return 'theirs'
  return Buffer.compare(found, body.subarray(0, SEALED_PREFIX_BYTES)) === 0 ? 'ours' : 'theirs'
}
