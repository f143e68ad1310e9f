// The small objects of the garbage collection protocol: a session's marker, and the three lists of one prune.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { decodeParts, encodeParts, partAt } from './bytes.ts'
import { decodePackRefs, doomKey, encodePackRefs, parseSession, retireKey, sessionKey, waitsKey } from './names.ts'
import type { RepositoryKeys } from './repository-keys.ts'
import { openObject, sealObject } from './sealed-object.ts'

/** `session/<S>`: this session may reuse any pack that is not retired when the session reads the retire lists. */
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
  return sealObject(keys, 'retire', retireKey(generation), packsPayload(packs, atMs))
}

export function openRetireList(keys: RepositoryKeys, generation: string, bytes: Uint8Array, where: string): string[] {
  return readList(where, () => packsIn(openObject(keys, 'retire', retireKey(generation), bytes, where)))
}

/** `waits/<g>`: sessions that had not ended when `retire/<g>` was written: they may name packs of that list. */
export function sealWaitList(
  keys: RepositoryKeys,
  generation: string,
  sessions: readonly string[],
  atMs: number,
): Buffer {
  return sealObject(keys, 'waits', waitsKey(generation), encodeParts({ version: 1, atMs, sessions }, []))
}

export function openWaitList(keys: RepositoryKeys, generation: string, bytes: Uint8Array, where: string): string[] {
  return readList(where, () => {
    const { head } = decodeParts(openObject(keys, 'waits', waitsKey(generation), bytes, where))
    const { sessions } = head as { sessions: string[] }
    for (const session of sessions) if (parseSession(session) === undefined) throw new RangeError(session)
    return sessions
  })
}

/** `doom/<g>`: the packs of `retire/<g>` to delete. Written once, so that all processes that work on the list delete the same packs. */
export function sealDoomList(keys: RepositoryKeys, generation: string, packs: readonly string[], atMs: number): Buffer {
  return sealObject(keys, 'doom', doomKey(generation), packsPayload(packs, atMs))
}

export function openDoomList(keys: RepositoryKeys, generation: string, bytes: Uint8Array, where: string): string[] {
  return readList(where, () => packsIn(openObject(keys, 'doom', doomKey(generation), bytes, where)))
}

function packsPayload(packs: readonly string[], atMs: number): Buffer {
  return encodeParts({ version: 1, atMs }, [encodePackRefs(packs)])
}

function packsIn(payload: Uint8Array): string[] {
  return decodePackRefs(partAt(decodeParts(payload).parts, 0))
}

function readList(where: string, read: () => string[]): string[] {
  try {
    return read()
  } catch (error) {
    if (error instanceof CorruptionError) throw error
    throw new CorruptionError('RetireListCorrupt', `list ${where}: it makes no sense`, { cause: error })
  }
}
