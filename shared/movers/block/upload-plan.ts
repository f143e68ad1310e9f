// Which chunks an upload reads: the changed areas, or what the disk reports as allocated, or everything.

import type { Extent } from '#shared/ports/disk.ts'
import { chunksOf, pageExtent } from './geometry.ts'
import type { Lane } from './lane.ts'
import type { UploadState } from './upload-state.ts'

/** Pages for each query to the disk: 32 GiB at the default chunk size. */
const PAGES_PER_QUESTION = 16

export function planChanged(state: UploadState, areas: readonly Extent[]): void {
  for (const area of areas) {
    const { first, end } = chunksOf(state.geometry, area)
    state.planChunks(first, end)
  }
  state.plannedPages = state.geometry.pageCount
  state.countPlanned()
}

/**
 * Continues from `plannedPages`. Ends early when the slice is over, but not before the first answer, and at once when the stop is urgent.
 */
export async function planAllocated(
  state: UploadState,
  lane: Lane,
  stop: { readonly isStopping: boolean; readonly isUrgent: boolean },
): Promise<void> {
  const { pageCount, chunkCount } = state.geometry
  let isOver = stop.isUrgent
  while (state.plannedPages < pageCount && !isOver) {
    const pages = Math.min(PAGES_PER_QUESTION, pageCount - state.plannedPages)
    const { offsetBytes, lengthBytes } = pageExtent(state.geometry, state.plannedPages, pages)
    const runs = await lane.allocated(offsetBytes, lengthBytes)
    if (runs === undefined) {
      state.mode = 'Everything'
      state.planChunks(0, chunkCount)
      state.plannedPages = pageCount
    } else {
      for (const run of runs) {
        const { first, end } = chunksOf(state.geometry, run)
        state.planChunks(first, end)
      }
      state.plannedPages += pages
    }
    isOver = stop.isStopping
  }
  state.countPlanned()
}
