// Checkpoints: everything an upload needs to continue from where it was, and nothing that is not durable yet. The neutral part records
// what was moved, and other sessions read it. What remains to be done is known to the source alone, in `source` and `sourceParts`.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { Bitmap } from './bitmap.ts'
import { decodeParts, encodeParts, partAt } from './bytes.ts'
import { isShortName } from './features.ts'
import { listOf } from './index-run.ts'
import { type BlobLocation, LocationTable } from './location-table.ts'
import { decodePackRefs, encodePackRefs } from './names.ts'
import type { RepositoryKeys } from './repository-keys.ts'
import type { RootHealed, RootSource, RootStats } from './root.ts'
import { openObject, sealObject } from './sealed-object.ts'

/** A page that was begun, with its table so far. */
type BegunPage = { page: number; map: LocationTable }

export type Checkpoint = {
  parent: string | undefined
  stats: RootStats
  /** Pages whose entry in `pages` is final. The entry of any other page is the parent's, or empty. */
  finished: Bitmap
  pages: LocationTable
  openPages: readonly BegunPage[]
  /** Segments of the index run that lie in packs, and the entries after them. */
  segments: BlobLocation[]
  newEntries: Buffer
  /**
   * Packs from which nothing may be taken over: those that were retired when the session began, and with `healed` also those that were
   * lost. It only grows.
   */
  unusable: ReadonlySet<string>
  /**
   * Set after every page was finished once: the chunks that wait since then replace what was lost. Nothing else of these pages changes.
   */
  healed: RootHealed | undefined
  /** The kind of the source, and how far the upload has got with it. */
  source: RootSource
  sourceParts: readonly Buffer[]
}

type Head = Pick<Checkpoint, 'parent' | 'stats' | 'healed' | 'source'> & { version: 1; openPages: number[] }

/** Number of neutral parts before the tables of the open pages. */
const FIRST_PARTS = 5

export function sealCheckpoint(keys: RepositoryKeys, key: string, checkpoint: Checkpoint): Buffer {
  const { parent, stats, finished, pages, openPages, segments, newEntries, unusable, healed } = checkpoint
  const head: Head = {
    version: 1,
    parent,
    stats,
    healed,
    openPages: openPages.map(({ page }) => page),
    source: checkpoint.source,
  }
  const parts = [
    finished.bytes,
    pages.encode(),
    LocationTable.from(segments).encode(),
    newEntries,
    encodePackRefs([...unusable]),
    ...openPages.map(({ map }) => map.encode()),
    ...checkpoint.sourceParts,
  ]
  return sealObject(keys, 'checkpoint', key, encodeParts(head, parts))
}

export function openCheckpoint(keys: RepositoryKeys, key: string, bytes: Uint8Array, where: string): Checkpoint {
  const payload = openObject(keys, 'checkpoint', key, bytes, where)
  try {
    const { head, parts } = decodeParts(payload)
    const { version, openPages, parent, stats, healed, source } = head as Head
    if (version !== 1) throw new RangeError(`version ${String(version)}`)
    if (!isShortName(source?.kind)) throw new RangeError('it is of no kind of source')
    const pages = LocationTable.decode(partAt(parts, 1))
    return {
      parent,
      stats,
      healed,
      source,
      finished: new Bitmap(pages.length, Buffer.from(partAt(parts, 0))),
      pages,
      segments: listOf(LocationTable.decode(partAt(parts, 2))),
      newEntries: partAt(parts, 3),
      unusable: new Set(decodePackRefs(partAt(parts, 4))),
      openPages: openPages.map((page, index) => ({
        page,
        map: LocationTable.decode(partAt(parts, FIRST_PARTS + index)),
      })),
      sourceParts: parts.slice(FIRST_PARTS + openPages.length),
    }
  } catch (error) {
    throw new CorruptionError('CheckpointCorrupt', `checkpoint ${where}: it opens but makes no sense`, { cause: error })
  }
}
