// The source's part of a checkpoint of a block volume: which chunks to read, and which chunks of the open pages wait.

import { Bitmap } from '#shared/repository/format/bitmap.ts'
import { asBuffer } from '#shared/repository/format/bytes.ts'
import type { Checkpoint } from '#shared/repository/format/checkpoint.ts'
import { BLOCK_KIND, type UploadMode } from './block-source.ts'
import { type Geometry, pageSpan } from './geometry.ts'

export type BlockProgress = {
  mode: UploadMode
  /** Pages below this one are in the plan; the disk must still be asked about the rest. */
  plannedPages: number
  /** Chunks of the volume to read. */
  plan: Bitmap
  /** For each open page, in their order: chunks that wait, bit n = chunk n of the page. */
  todos: readonly Bitmap[]
}

type Head = { kind: string; capacityBytes: number; mode: UploadMode; plannedPages: number }

export function encodeProgress(
  { capacityBytes }: Geometry,
  { mode, plannedPages, plan, todos }: BlockProgress,
): Pick<Checkpoint, 'source' | 'sourceParts'> {
  const source: Head = { kind: BLOCK_KIND, capacityBytes, mode, plannedPages }
  return { source, sourceParts: [plan.bytes, ...todos.map(({ bytes }) => bytes)] }
}

/** undefined: it is of another source, of a volume of another size, or its plan is not complete. */
export function decodeProgress(geometry: Geometry, checkpoint: Checkpoint): BlockProgress | undefined {
  const { kind, capacityBytes, mode, plannedPages } = checkpoint.source as Head
  if (kind !== BLOCK_KIND || capacityBytes !== geometry.capacityBytes) return undefined
  if (checkpoint.pages.length !== geometry.pageCount) return undefined
  // A plan of changes is made in one step. Without all of it, a checkpoint would present the parent's data as this backup.
  if (mode === 'Changed' && plannedPages !== geometry.pageCount) return undefined
  const [plan, ...todos] = checkpoint.sourceParts
  if (plan === undefined || todos.length !== checkpoint.openPages.length) return undefined
  const lengths = checkpoint.openPages.map(({ page }) => {
    const { first, end } = pageSpan(geometry, page)
    return end - first
  })
  if (![plan, ...todos].every((bytes, n) => bytes.length === bytesFor([geometry.chunkCount, ...lengths][n] ?? 0)))
    return undefined
  return {
    mode,
    plannedPages,
    plan: own(geometry.chunkCount, plan),
    todos: todos.map((bytes, n) => own(lengths[n] ?? 0, bytes)),
  }
}

const bytesFor = (bits: number): number => Math.ceil(bits / 8)

/** A copy, because the decoded part is a view of the whole object. */
const own = (bits: number, bytes: Uint8Array): Bitmap => new Bitmap(bits, Buffer.from(asBuffer(bytes)))
