// Opens the pages of the map that an upload works on, and closes them when all their chunks are settled.

import { CorruptionError } from '#shared/kernel/errors.ts'
import type { BlobReader } from '#shared/repository/core/blob-reader.ts'
import { countFreed } from '#shared/repository/core/freed-buffers.ts'
import { inParallel } from '#shared/repository/core/in-parallel.ts'
import type { MetaPacks } from '#shared/repository/core/meta-packs.ts'
import { readPageMap } from '#shared/repository/core/page-map.ts'
import type { Repository } from '#shared/repository/core/repository.ts'
import type { Unfinished, UnfinishedPage } from '#shared/repository/core/unfinished.ts'
import type { Warn } from '#shared/repository/core/warn.ts'
import { Bitmap } from '#shared/repository/format/bitmap.ts'
import type { BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import { chunkLength, pageSpan } from './geometry.ts'
import type { OpenPage, UploadState } from './upload-state.ts'

const PARALLEL_READS = 8

export type PageContext = {
  repository: Repository
  state: UploadState
  blobs: BlobReader
  metaPacks: MetaPacks
  unfinished: Unfinished
  warn: Warn
}

/** The page as the upload works on it: the parent's entries where they are still valid, and the chunks to read. */
export async function loadPage(context: PageContext, page: number): Promise<OpenPage> {
  const { state } = context
  const begun = state.open.get(page)
  if (begun !== undefined) return begun
  const { first, end } = pageSpan(state.geometry, page)
  const map = state.newTable(end - first)
  const todo = new Bitmap(end - first)
  for (let chunk = state.plan.next(first, end); chunk !== -1; chunk = state.plan.next(chunk + 1, end))
    todo.add(chunk - first)
  const loaded: OpenPage = { page, first, todo, left: todo.count(), map }
  const isLookedAt = loaded.left > 0 || state.keepsTheRest
  const [parent, unfinished] = await Promise.all([
    isLookedAt ? parentMap(context, page) : ('none' as const),
    isLookedAt ? context.unfinished.page(page, state.pages.get(page)) : undefined,
  ])
  const listed =
    unfinished === undefined ? NONE : await context.unfinished.listed(packsToTake(state, loaded, parent, unfinished))
  // The rest runs without an await, so that a checkpoint contains either nothing of it or all of it.
  takeParent(state, loaded, parent)
  if (parent === 'unreadable') state.pages.clear(page)
  if (unfinished !== undefined) takeUnfinished(state, loaded, unfinished, listed)
  state.open.set(page, loaded)
  return loaded
}

type ParentMap = LocationTable | 'none' | 'unreadable'
const NONE: ReadonlySet<string> = new Set()

/** Packs that `takeUnfinished` may ask for. Whether the page's other packs exist does not matter. */
function packsToTake(
  state: UploadState,
  { todo }: OpenPage,
  parent: ParentMap,
  { map, stored }: UnfinishedPage,
): string[] {
  const packs = new Set<string>()
  for (let slot = 0; slot < Math.min(todo.length, map.length); slot++) {
    const location = map.get(slot)
    const isLookedAt = todo.has(slot) || (state.keepsTheRest && isGone(state, parent, slot))
    if (location === undefined || !isLookedAt) continue
    const isParents =
      typeof parent !== 'string' &&
      slot < parent.length &&
      parent.hasId(slot, location.id, 0) &&
      !isGone(state, parent, slot)
    if (!isParents) packs.add(location.pack)
  }
  if (stored !== undefined) packs.add(stored.pack)
  return [...packs]
}

/** The parent can no longer provide what it has in this slot. */
function isGone(state: UploadState, parent: ParentMap, slot: number): boolean {
  if (typeof parent === 'string') return parent === 'unreadable'
  return slot < parent.length && !parent.isEmpty(slot) && state.unusable.has(parent.packOf(slot))
}

/**
 * Takes the parent's entries: all of them when only changes are read, otherwise those of planned chunks, to compare with. What the parent
 * can no longer provide (a retired pack, a corrupt page) is read again.
 */
function takeParent(state: UploadState, loaded: OpenPage, parent: ParentMap): void {
  if (parent === 'none') return
  const changesOnly = state.keepsTheRest
  for (let slot = 0; slot < loaded.map.length; slot++) {
    const inParent = parent !== 'unreadable' && slot < parent.length
    const isLost = isGone(state, parent, slot)
    if (isLost && changesOnly) lookAgain(state, loaded, slot)
    if (inParent && !isLost && (changesOnly || loaded.todo.has(slot))) loaded.map.copy(slot, parent, slot)
  }
}

/**
 * Takes entries only to compare with: only for chunks that are read in any case, and where the parent has the same chunk, the parent's
 * entry stays. Entries in packs that this session must not reuse, or that do not exist, are not taken.
 */
function takeUnfinished(
  state: UploadState,
  loaded: OpenPage,
  { map, stored }: UnfinishedPage,
  listed: ReadonlySet<string>,
): void {
  const isUsable = (pack: string) => listed.has(pack) && !state.unusable.has(pack)
  const slots = new Bitmap(loaded.map.length)
  const end = Math.min(loaded.todo.length, map.length)
  for (let slot = loaded.todo.next(0, end); slot !== -1; slot = loaded.todo.next(slot + 1, end)) {
    const location = map.get(slot)
    if (location === undefined || loaded.map.hasId(slot, location.id, 0) || !isUsable(location.pack)) continue
    loaded.map.set(slot, location)
    slots.add(slot)
  }
  loaded.unfinished = { slots, stored: stored !== undefined && isUsable(stored.pack) ? stored : undefined }
}

async function parentMap({ state, blobs, warn }: PageContext, page: number): Promise<ParentMap> {
  const location = state.pages.get(page)
  if (location === undefined) return 'none'
  try {
    return await readPageMap(blobs, location)
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error
    warn(error.reason, `page ${page} of the parent is left aside, its chunks are read anew: ${error.message}`)
    return 'unreadable'
  }
}

function lookAgain(state: UploadState, page: OpenPage, slot: number): void {
  if (page.todo.has(slot)) return
  page.todo.add(slot)
  page.left++
  state.stats.totalBytes += chunkLength(state.geometry, page.first + slot)
}

/** Stores the page's map unless it still equals the parent's, or is all zeros. The page is finished when its map is durable. */
export function closePage({ repository, state, metaPacks }: PageContext, { page, map, unfinished }: OpenPage): void {
  if (map.isAllEmpty()) {
    state.finishPage(page, undefined)
    return
  }
  const raw = map.encode()
  countFreed(2 * raw.length)
  const id = repository.keys.pageId(raw)
  const standing = [state.pages.get(page), unfinished?.stored].find(
    (stored) => stored !== undefined && id.equals(stored.id) && !state.unusable.has(stored.pack),
  )
  if (standing !== undefined) state.finishPage(page, standing)
  else metaPacks.append('page', id, raw, (location) => state.finishPage(page, location))
}

/**
 * While packs are retired, pages that no change touches may still name them, so the upload must work on those pages too. This reads the
 * parent's whole map, so it is done only in that case.
 */
export async function planRetired({ state, blobs, warn }: PageContext): Promise<void> {
  const retired = state.unusable
  if (retired.size === 0 || state.mode !== 'Changed') return
  const pages = Array.from({ length: state.geometry.pageCount }, (_, page) => page)
  await inParallel(pages, PARALLEL_READS, async (page) => {
    const location = state.finished.has(page) ? state.pages.get(page) : undefined
    if (location === undefined) return
    if (retired.has(location.pack) || (await namesRetired(location))) state.finished.remove(page)
  })

  async function namesRetired(location: BlobLocation): Promise<boolean> {
    try {
      return (await readPageMap(blobs, location)).packs.some((pack) => retired.has(pack))
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      warn(error.reason, error.message)
      return true
    }
  }
}
