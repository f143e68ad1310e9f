// Checkpoints: everything an upload needs to go on from where it was, and nothing that is not durable yet.

import { CorruptionError } from '#shared/kernel/errors.ts'
import { Bitmap } from './bitmap.ts'
import { decodeParts, encodeParts, partAt } from './bytes.ts'
import { listOf } from './index-run.ts'
import { type BlobLocation, LocationTable } from './location-table.ts'
import { decodePackRefs, encodePackRefs } from './names.ts'
import type { RepositoryKeys } from './repository-keys.ts'
import type { Healed, RootStats, UploadMode } from './root.ts'
import { openObject, sealObject } from './sealed-object.ts'

/** A page that is begun: `todo` are its chunks that wait, bit n = chunk n of the page. */
export type OpenPageState = { page: number; todo: Bitmap; map: LocationTable }

export type Checkpoint = {
  mode: UploadMode
  parent: string | undefined
  capacityBytes: number
  /** Pages below this one are in the plan; the rest is still to be asked from the disk. */
  plannedPages: number
  stats: RootStats
  /** Chunks of the volume to look at. */
  plan: Bitmap
  /** Pages whose entry in `pages` is final; the others' is the parent's, or empty. */
  finished: Bitmap
  pages: LocationTable
  openPages: OpenPageState[]
  /** Segments of the index run that lie in packs, and the entries after them. */
  segments: BlobLocation[]
  newEntries: Buffer
  /**
   * Packs that nothing may be taken over from: what was retired when the session began, and with `healed` what was lost as well.
   * It only grows. undefined: written by version 1, which did not keep it.
   */
  unusable: ReadonlySet<string> | undefined
  /** Every page was finished once; what waits since stands in for what was lost. Nothing else of these pages changes. */
  healed: Healed | undefined
}

type Head = Pick<Checkpoint, 'mode' | 'capacityBytes' | 'plannedPages' | 'stats'> & {
  version: 1 | 2
  healed?: Healed | undefined
  parent?: string | undefined
  openPages: number[]
  chunks: number
}

export function sealCheckpoint(keys: RepositoryKeys, key: string, checkpoint: Checkpoint): Buffer {
  const { mode, parent, capacityBytes, plannedPages, stats, plan, finished, pages, openPages, segments, healed } =
    checkpoint
  const head: Head = {
    version: 2,
    healed,
    mode,
    parent,
    capacityBytes,
    plannedPages,
    stats,
    openPages: openPages.map(({ page }) => page),
    chunks: plan.length,
  }
  const parts = [
    plan.bytes,
    finished.bytes,
    pages.encode(),
    LocationTable.from(segments).encode(),
    checkpoint.newEntries,
  ]
  for (const { todo, map } of openPages) parts.push(todo.bytes, map.encode())
  parts.push(encodePackRefs([...(checkpoint.unusable ?? [])]))
  return sealObject(keys, 'checkpoint', key, encodeParts(head, parts))
}

export function openCheckpoint(keys: RepositoryKeys, key: string, bytes: Uint8Array, where: string): Checkpoint {
  const payload = openObject(keys, 'checkpoint', key, bytes, where)
  try {
    const { head, parts } = decodeParts(payload)
    const { version, openPages, chunks, parent, healed, ...rest } = head as Head
    if (version !== 1 && version !== 2) throw new RangeError(`version ${version}`)
    const pages = LocationTable.decode(partAt(parts, 2))
    return {
      ...rest,
      parent,
      healed,
      unusable: version === 1 ? undefined : new Set(decodePackRefs(partAt(parts, 5 + 2 * openPages.length))),
      plan: new Bitmap(chunks, Buffer.from(partAt(parts, 0))),
      finished: new Bitmap(pages.length, Buffer.from(partAt(parts, 1))),
      pages,
      segments: listOf(LocationTable.decode(partAt(parts, 3))),
      newEntries: partAt(parts, 4),
      openPages: openPages.map((page, index) => {
        const map = LocationTable.decode(partAt(parts, 6 + 2 * index))
        return { page, todo: new Bitmap(map.length, Buffer.from(partAt(parts, 5 + 2 * index))), map }
      }),
    }
  } catch (error) {
    throw new CorruptionError('CheckpointCorrupt', `checkpoint ${where}: it opens but makes no sense`, { cause: error })
  }
}
