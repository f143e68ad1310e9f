// The root of a backup: the object `roots/<S>`. A backup exists when its root does, and the root names everything that the backup needs.
// `source` describes what was backed up. This file does not interpret it; the code for that kind of source does.

import { CorruptionError, TerminalError } from '#shared/kernel/errors.ts'
import { decodeParts, encodeParts, partAt } from './bytes.ts'
import { type Features, isShortName, knowsAll, readFeatures, requireFeatures, versionUnknown } from './features.ts'
import { LocationTable } from './location-table.ts'
import { rootKey } from './names.ts'
import type { RepositoryKeys } from './repository-keys.ts'
import { openObject, sealObject } from './sealed-object.ts'

const ROOT_VERSION = 1
const COPY = /^[0-9a-f]{16}$/

/** What every backup records about itself. Same shape as BackupAbout of the mover's port, which this folder may not import. */
export type RootAbout = {
  clusterId: string
  createdMs: number
  /** `<namespace>/<name>`. The namespace owns the backup. */
  claim: string
  /** Name of Velero's Backup. */
  backup?: string | undefined
}

/** What was backed up: `kind` (a short name), and the fields of that kind. */
export type RootSource = { kind: string; [field: string]: unknown }

/** Bytes over all slices of the backup. */
export type RootStats = {
  totalBytes: number
  bytesDone: number
  bytesRead: number
  bytesSent: number
  bytesStored: number
}

/** What the backup could not take over from its parent because packs were lost, and read from the source again. */
export type RootHealed = { packs: number; pages: number }

type RootHead = Features & {
  version: typeof ROOT_VERSION
  about: RootAbout
  source: RootSource
  /** Root key of the backup that this one is based on. */
  parent: string | undefined
  stats: RootStats
  sealedMs: number
  healed?: RootHealed | undefined
  /** Last part of the name of the pack of this session that holds a copy of the root: 16 hex digits. */
  copy: string
}

/** `pages`: where each page is stored, in order. Together the pages name every pack that the backup needs; an empty entry names none. */
export type Root = RootHead & { pages: LocationTable }

export function sealRoot(keys: RepositoryKeys, session: string, root: Root): Buffer {
  return sealObject(keys, 'root', rootKey(session), rootPayload(root))
}

export function rootPayload({ pages, ...head }: Root): Buffer {
  return encodeParts(head, [pages.encode()])
}

/** TerminalError `RepositoryVersionUnknown`: a newer version, or a required feature that this version does not know. */
export function openRoot(keys: RepositoryKeys, session: string, bytes: Uint8Array, where: string): Root {
  return decodeRoot(openObject(keys, 'root', rootKey(session), bytes, where), where)
}

export function decodeRoot(payload: Uint8Array, where: string): Root {
  try {
    const { head, parts } = decodeParts(payload)
    const known = readHead(head as Record<string, unknown>, where)
    return { ...known, pages: LocationTable.decode(partAt(parts, 0)) }
  } catch (error) {
    if (error instanceof TerminalError) throw error
    throw new CorruptionError('RootCorrupt', `root ${where}: it opens but makes no sense`, { cause: error })
  }
}

/** Whether `openRoot` does not refuse a root of this version with these required features. Otherwise it is unknown what the root reaches. */
export function isKnownRoot(version: number, requiredFeatures: readonly string[]): boolean {
  return version === ROOT_VERSION && knowsAll(requiredFeatures)
}

function readHead(head: Record<string, unknown>, where: string): RootHead {
  const { version, source, about, copy } = head
  // Checked first: in another version, every other field may have another meaning.
  if (version !== ROOT_VERSION) throw versionUnknown(`root ${where}`, `it is of version ${String(version)}`)
  const features = readFeatures(head)
  requireFeatures(features, `root ${where}`)
  if (!isShortName((source as Partial<RootSource> | undefined)?.kind))
    throw new RangeError('it is of no kind of source')
  if (typeof about !== 'object' || about === null) throw new RangeError('it says nothing of itself')
  if (typeof copy !== 'string' || !COPY.test(copy)) throw new RangeError('it names no copy')
  return { ...(head as RootHead), ...features }
}

/** Why a session can never seal. `forgotten`: it may once have been sealed, and its marker must stay (docs/format). */
export type TombstoneWhy = 'forgotten' | 'abandoned' | 'idle'

/**
 * The object at a root's key after the session was given up, which makes sure that it can never seal. `checkpoint`: the last part of the
 * key of a checkpoint that was listed before the session ended, and from which the volume's next backup may continue.
 */
export function sealTombstone(
  keys: RepositoryKeys,
  session: string,
  tombstone: { why: TombstoneWhy; atMs: number; checkpoint?: string | undefined },
): Buffer {
  return sealObject(keys, 'tombstone', rootKey(session), encodeParts(tombstone, []))
}

/** The kind in the header proves nothing until the object opens: a damaged root must not pass for a tombstone. */
export function openTombstone(
  keys: RepositoryKeys,
  session: string,
  bytes: Uint8Array,
  where: string,
): { why: string; checkpoint: string | undefined } {
  const payload = openObject(keys, 'tombstone', rootKey(session), bytes, where)
  try {
    const { why, checkpoint } = decodeParts(payload).head as { why?: unknown; checkpoint?: unknown }
    return { why: String(why), checkpoint: typeof checkpoint === 'string' ? checkpoint : undefined }
  } catch (error) {
    throw new CorruptionError('RootCorrupt', `tombstone ${where}: it opens but makes no sense`, { cause: error })
  }
}
