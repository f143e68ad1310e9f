// The two small objects of the garbage collection protocol that an upload deals with.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { decodeParts, encodeParts, partAt } from './bytes.ts'
import { decodePackRef, encodePackRef, PACK_REF_BYTES, retireKey, sessionKey } from './names.ts'
import type { RepositoryKeys } from './repository-keys.ts'
import { openObject, sealObject } from './sealed-object.ts'

/** `session/<S>`: this session may reuse anything that is not retired when it looks. */
export function sealSession(keys: RepositoryKeys, session: string, startedMs: number, salt?: Uint8Array): Buffer {
  return sealObject(keys, 'session', sessionKey(session), encodeParts({ version: 1, startedMs }, []), salt)
}

/** `retire/<g>`: packs that are about to be deleted and must not be reused. */
export function sealRetireList(
  keys: RepositoryKeys,
  generation: string,
  packs: readonly string[],
  atMs: number,
): Buffer {
  const refs = Buffer.alloc(packs.length * PACK_REF_BYTES)
  for (const [index, pack] of packs.entries()) encodePackRef(pack, refs, index * PACK_REF_BYTES)
  return sealObject(keys, 'retire', retireKey(generation), encodeParts({ version: 1, atMs }, [refs]))
}

export function openRetireList(keys: RepositoryKeys, generation: string, bytes: Uint8Array, where: string): string[] {
  const payload = openObject(keys, 'retire', retireKey(generation), bytes, where)
  try {
    const refs = partAt(decodeParts(payload).parts, 0)
    return Array.from({ length: refs.length / PACK_REF_BYTES }, (_, n) => decodePackRef(refs, n * PACK_REF_BYTES))
  } catch (error) {
    throw new CorruptionError('RetireListCorrupt', `retire list ${where}: it makes no sense`, { cause: error })
  }
}
