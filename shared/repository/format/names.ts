// Names of a repository's objects, below `<prefix>/plugins/dormouse/`. Each object is written once.

export const CONFIG_KEY = 'config'

/** The parts of a session id: whose backup it is (keyed tags), when it began, and which attempt it is. */
type SessionParts = { volumeTag: string; snapshotTag: string; startedMs: number; attempt: string }

const SESSION = /^([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{12})-([0-9a-f]{8})$/
const PACK_REF = /^[0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{12}-[0-9a-f]{8}\/[0-9a-f]{16}$/
const CHECKPOINT = /^checkpoint\/([0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{12}-[0-9a-f]{8})\/([0-9]{8}-[0-9]{4})$/
const REACH_NOTE = /^reach\/(pages|roots)-[0-9a-f]{16}$/
/** A pack reference as bytes: 26 for the session, 8 for the pack's own name. */
export const PACK_REF_BYTES = 34

export function formatSession(parts: SessionParts): string {
  const started = parts.startedMs.toString(16).padStart(12, '0')
  return `${parts.volumeTag}-${parts.snapshotTag}-${started}-${parts.attempt}`
}

export function parseSession(session: string): SessionParts | undefined {
  const match = SESSION.exec(session)
  if (match === null) return undefined
  const [, volumeTag = '', snapshotTag = '', started = '', attempt = ''] = match
  return { volumeTag, snapshotTag, startedMs: Number.parseInt(started, 16), attempt }
}

export const keySlotKey = (slotId: string): string => `keys/${slotId}`
export const sessionKey = (session: string): string => `session/${session}`
export const indexKey = (session: string): string => `index/${session}`
export const rootKey = (session: string): string => `roots/${session}`
export const retireKey = (generation: string): string => `retire/${generation}`
export const waitsKey = (generation: string): string => `waits/${generation}`
export const doomKey = (generation: string): string => `doom/${generation}`
export const REACH_PREFIX = 'reach/'
export type ReachNoteKind = 'pages' | 'roots'
/** `name`: 16 random hex digits. */
export const reachKey = (kind: ReachNoteKind, name: string): string => `${REACH_PREFIX}${kind}-${name}`
/** `ref` is `<session>/<16 hex>`, as maps name a pack. */
export const packKey = (ref: string): string => `packs/${ref}`

export function checkpointKey(session: string, slice: number, n: number): string {
  return `checkpoint/${session}/${String(slice).padStart(8, '0')}-${String(n).padStart(4, '0')}`
}

/** The prefix of all checkpoints of sessions whose id begins with `session`. */
export const checkpointPrefix = (session: string): string => `checkpoint/${session}`

/** The parts of a checkpoint's key; undefined when the key is not one. `name`: `<slice>-<n>`, which sorts by age within its session. */
export function parseCheckpointKey(key: string): { session: string; name: string } | undefined {
  const match = CHECKPOINT.exec(key)
  return match === null ? undefined : { session: match[1] ?? '', name: match[2] ?? '' }
}

/** The session in `roots/<S>` or `index/<S>`; undefined when the key is not of that form. */
export function sessionInKey(key: string): string | undefined {
  const session = key.slice(key.lastIndexOf('/') + 1)
  return SESSION.test(session) ? session : undefined
}

/** undefined: not a note's name. */
export function reachNoteKind(key: string): ReachNoteKind | undefined {
  return REACH_NOTE.exec(key)?.[1] as ReachNoteKind | undefined
}

export const isPackRef = (ref: string): boolean => PACK_REF.test(ref)

export function encodePackRef(ref: string, into: Buffer, at: number): void {
  if (!PACK_REF.test(ref)) throw new Error(`not a pack reference: ${ref}`)
  into.write(ref.replace(/[-/]/g, ''), at, PACK_REF_BYTES, 'hex')
}

export function encodePackRefs(refs: readonly string[]): Buffer {
  const bytes = Buffer.alloc(refs.length * PACK_REF_BYTES)
  for (const [index, ref] of refs.entries()) encodePackRef(ref, bytes, index * PACK_REF_BYTES)
  return bytes
}

export function decodePackRefs(bytes: Buffer): string[] {
  return Array.from({ length: bytes.length / PACK_REF_BYTES }, (_, n) => decodePackRef(bytes, n * PACK_REF_BYTES))
}

export function decodePackRef(bytes: Buffer, at: number): string {
  const hex = bytes.toString('hex', at, at + PACK_REF_BYTES)
  const cut = (from: number, to?: number) => hex.slice(from, to)
  return `${cut(0, 16)}-${cut(16, 32)}-${cut(32, 44)}-${cut(44, 52)}/${cut(52)}`
}
