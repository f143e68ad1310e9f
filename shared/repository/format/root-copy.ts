// The copy of a root: a blob in a pack of its session, so that a lost root can be made again from packs alone.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { decodeParts, encodeParts, partAt } from './bytes.ts'
import { decodeRoot, type Root, rootPayload } from './root.ts'

/** The copy contains the session: without it, a copy could be moved to another session's packs. */
export function encodeRootCopy(session: string, root: Root): Buffer {
  return encodeParts({ version: 1, session }, [rootPayload(root)])
}

/** CorruptionError `RootCorrupt`: it is another session's copy. Otherwise as `openRoot`. */
export function decodeRootCopy(raw: Uint8Array, session: string, where: string): Root {
  return decodeRoot(payloadOf(raw, session, where), where)
}

function payloadOf(raw: Uint8Array, session: string, where: string): Uint8Array {
  try {
    const { head, parts } = decodeParts(raw)
    const { session: own } = head as { session?: unknown }
    if (own !== session) throw new RangeError(`it was made for session ${String(own)}`)
    return partAt(parts, 0)
  } catch (error) {
    throw new CorruptionError('RootCorrupt', `copy of a root ${where}: it opens but makes no sense`, { cause: error })
  }
}
