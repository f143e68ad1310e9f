// The root of a backup: the object `roots/<S>`. A backup exists when its root does, and the root names all it needs.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { decodeParts, encodeParts, partAt } from './bytes.ts'
import { LocationTable } from './location-table.ts'
import { rootKey } from './names.ts'
import type { RepositoryKeys } from './repository-keys.ts'
import { openObject, sealObject } from './sealed-object.ts'

export const UPLOAD_MODES = ['Changed', 'Allocated', 'Everything'] as const
export type UploadMode = (typeof UPLOAD_MODES)[number]

/** Same shape as BackupAbout of the mover's port, which this folder may not import. */
export type RootAbout = {
  fcdId: string
  snapshotId: string
  clusterId: string
  createdMs: number
  changeId: string | undefined
  claim: string
  backup?: string | undefined
  revertible?: boolean | undefined
  /** Whoever reads it looks at each part: `readRecord`. */
  volume?: object | undefined
}

/** Bytes over all slices of the backup. */
export type RootStats = {
  totalBytes: number
  bytesDone: number
  bytesRead: number
  bytesSent: number
  bytesStored: number
}

/** What the backup could not take over from its parent, as packs were lost, and has read from the disk again. */
export type Healed = { packs: number; pages: number }

export type RootHead = {
  version: 1
  capacityBytes: number
  chunkBytes: number
  pageChunks: number
  about: RootAbout
  /** Root key of the backup that this one began from. */
  parent: string | undefined
  mode: UploadMode
  stats: RootStats
  sealedMs: number
  healed?: Healed | undefined
}

/** `pages`: where each leaf page lies, in order; an empty entry is a page of zeros. */
export type Root = RootHead & { pages: LocationTable }

export function sealRoot(keys: RepositoryKeys, session: string, root: Root): Buffer {
  return sealObject(keys, 'root', rootKey(session), rootPayload(root))
}

export function rootPayload({ pages, ...head }: Root): Buffer {
  return encodeParts(head, [pages.encode()])
}

export function openRoot(keys: RepositoryKeys, session: string, bytes: Uint8Array, where: string): Root {
  const payload = openObject(keys, 'root', rootKey(session), bytes, where)
  try {
    const { head, parts } = decodeParts(payload)
    const root = { ...(head as RootHead), pages: LocationTable.decode(partAt(parts, 0)) }
    checkShape(root)
    return root
  } catch (error) {
    throw new CorruptionError('RootCorrupt', `root ${where}: it opens but makes no sense`, { cause: error })
  }
}

function checkShape({ version, capacityBytes, chunkBytes, pageChunks, pages }: Root): void {
  if (version !== 1) throw new RangeError(`version ${version}`)
  const pageCount = Math.ceil(Math.ceil(capacityBytes / chunkBytes) / pageChunks)
  if (pages.length !== pageCount) throw new RangeError(`${pages.length} pages for ${capacityBytes} bytes`)
}

/** Why a session can never seal. `forgotten`: it may have been sealed once; its marker must stay (docs/format). */
export type TombstoneWhy = 'forgotten' | 'abandoned' | 'idle'

/**
 * What stands at a root's key when the session was given up, so that it can never seal. `checkpoint`: the last part of the key of one that
 * was listed before it ended, and that the next backup of the volume may go by.
 */
export function sealTombstone(
  keys: RepositoryKeys,
  session: string,
  tombstone: { why: TombstoneWhy; atMs: number; checkpoint?: string | undefined },
): Buffer {
  return sealObject(keys, 'tombstone', rootKey(session), encodeParts(tombstone, []))
}

/** Its kind in the header proves nothing until it opens: a damaged root must not pass for a tombstone. */
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
