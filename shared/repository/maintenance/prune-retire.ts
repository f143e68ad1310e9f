// Works through all lists of packs to delete, one after the other, as far as time allows.

import { excerptOf } from '#shared/kernel/excerpt.ts'
import { retireKey } from '#shared/repository/format/names.ts'
import { advanceGeneration, retireUnnamed, standingGenerations, unnamedPacks } from './prune-generation.ts'
import type { PruneRun } from './prune-run.ts'

/** `isWhole` false: time was up. */
type Retired = { isWhole: boolean; waitsFor: string[] }

type Seen = {
  /** No list is worked through twice in one run: a list may be listed although it cannot be read, and the run would never end. */
  through: Set<string>
  /** The first pack of the last list that this run made. */
  firstOfNew: string | undefined
  isTold: boolean
}

export async function retirePacks(run: PruneRun): Promise<Retired> {
  const waitsFor: string[] = []
  const seen: Seen = { through: new Set(), firstOfNew: undefined, isTold: false }
  for (;;) {
    const next = await nextLists(run, seen)
    if (next.length === 0) return { isWhole: true, waitsFor }
    for (const generation of next) {
      if (seen.through.size > 0 && run.isOver()) return { isWhole: false, waitsFor }
      seen.through.add(generation)
      const end = await advanceGeneration(run, generation)
      if (end.state === 'more') return { isWhole: false, waitsFor }
      if (end.state === 'waiting') waitsFor.push(...end.waitsFor)
    }
    // The next list waits until this one is finished, because every session that begins reads each list.
    if (waitsFor.length > 0) return { isWhole: true, waitsFor }
  }
}

/** The lists that exist; if there is none, a new one. Empty: this run has nothing more to do. */
async function nextLists(run: PruneRun, seen: Seen): Promise<string[]> {
  const standing = await standingGenerations(run)
  const next = standing.filter((generation) => !seen.through.has(generation))
  if (next.length > 0) return next
  if (standing[0] !== undefined) tellThatItStands(run, standing[0], seen)
  // That list was finished and its packs are still there: another list would not change that.
  const [first] = unnamedPacks(run, 1)
  if (first === undefined || first === seen.firstOfNew) return []
  seen.firstOfNew = first
  const generation = await retireUnnamed(run)
  return generation === undefined ? [] : [generation]
}

function tellThatItStands({ warn, repository }: PruneRun, generation: string, seen: Seen): void {
  if (seen.isTold) return
  seen.isTold = true
  const name = `${repository.store.location}/${retireKey(excerptOf(generation, 60))}`
  warn('RetireListStands', `${name} is listed though it is gone or was deleted; it is left for the next run`)
}
