// What a block volume keeps in the `source` of its root, and how it is read back.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { SECTOR_BYTES } from '#shared/kernel/units.ts'
import type { BlockFacts, BlockSource } from '#shared/ports/mover.ts'
import { versionUnknown } from '#shared/repository/format/features.ts'
import type { Root, RootSource } from '#shared/repository/format/root.ts'
import type { Geometry } from './geometry.ts'

export const BLOCK_KIND = 'block'

const UPLOAD_MODES = ['Changed', 'Allocated', 'Everything'] as const
/** Which chunks the upload read. */
export type UploadMode = (typeof UPLOAD_MODES)[number]

/** The fields as the root contains them. */
export type BlockRoot = BlockSource & { chunkBytes: number; pageChunks: number; mode: UploadMode }

/** For a root that is about to be sealed. */
export function blockRootSource(geometry: Geometry, facts: BlockFacts, mode: UploadMode): RootSource {
  const { capacityBytes, chunkBytes, pageChunks } = geometry
  const { diskId, snapshotId, ...rest } = facts
  return { kind: BLOCK_KIND, diskId, snapshotId, capacityBytes, chunkBytes, pageChunks, mode, ...rest }
}

/**
 * TerminalError `RepositoryVersionUnknown`: the source is of another kind. CorruptionError `RootCorrupt`: the pages are not those of a
 * volume of this size. `where`: the root's location and key, for messages.
 */
export function blockSourceOf({ source, pages }: Root, where: string): BlockRoot {
  if (source.kind !== BLOCK_KIND) throw versionUnknown(`root ${where}`, `its source is of kind ${source.kind}`)
  const { capacityBytes, chunkBytes, pageChunks, mode, diskId, snapshotId } = source
  const refuse = (what: string) => new CorruptionError('RootCorrupt', `root ${where}: ${what}`)
  if (!isCount(capacityBytes) || capacityBytes % SECTOR_BYTES !== 0)
    throw refuse(`capacityBytes is ${String(capacityBytes)}`)
  if (!isCount(chunkBytes) || !isCount(pageChunks)) throw refuse('it does not say how it is cut')
  const pageCount = Math.ceil(Math.ceil(capacityBytes / chunkBytes) / pageChunks)
  if (pages.length !== pageCount) throw refuse(`${pages.length} pages for ${capacityBytes} bytes`)
  if (!isMode(mode)) throw refuse(`mode is ${String(mode)}`)
  if (typeof diskId !== 'string' || typeof snapshotId !== 'string') throw refuse('it does not say of what disk it is')
  const { changeId, revertible, volume } = source as Partial<BlockRoot>
  return { diskId, snapshotId, capacityBytes, chunkBytes, pageChunks, mode, changeId, revertible, volume }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) > 0

const isMode = (value: unknown): value is UploadMode => UPLOAD_MODES.some((mode) => mode === value)
