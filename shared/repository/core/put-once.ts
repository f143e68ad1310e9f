// Writes an object that must be this process's own. If the answer to a PUT is lost, the store client repeats the PUT and finds its own
// object.

import type { ObjectStore } from '#shared/ports/object-store.ts'
import { SEALED_PREFIX_BYTES } from '#shared/repository/format/sealed-object.ts'

/**
 * 'ours': the object is there, written by this call. 'theirs': another object is there. The first bytes tell them apart, because they
 * hold a random salt in every object of the format except the config.
 */
export async function putOnce(
  store: ObjectStore,
  key: string,
  body: Uint8Array,
  signal?: AbortSignal,
): Promise<'ours' | 'theirs'> {
  if (await store.putIfAbsent(key, body, signal)) return 'ours'
  const found = await store.getRange(key, 0, SEALED_PREFIX_BYTES, signal)
  // The object was deleted in between. The process that deleted it had a reason, so it is not written again.
  if (found === undefined) return 'theirs'
  return Buffer.compare(found, body.subarray(0, SEALED_PREFIX_BYTES)) === 0 ? 'ours' : 'theirs'
}
