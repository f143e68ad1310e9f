// All lists of packs on their way out, one after the other, as far as the time goes.

import { excerptOf } from '#shared/kernel/excerpt.ts'
import { retireKey } from '#shared/repository/format/names.ts'
import { advanceGeneration, retireUnnamed, standingGenerations, unnamedPacks } from './prune-generation.ts'
import type { PruneRun } from './prune-run.ts'

/** `isWhole` false: time was up. */
export type Retired = { isWhole: boolean; waitsFor: string[] }

type Seen = {
  /** No list is gone through twice in one run: one may be listed that cannot be got, and the run would never end. */
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
    // The next list waits until this one is through: each of them is read by every session that begins.
    if (waitsFor.length > 0) return { isWhole: true, waitsFor }
  }
}

/** Those that stand; where none does, a new one. None: there is nothing more to do in this run. */
async function nextLists(run: PruneRun, seen: Seen): Promise<string[]> {
  const standing = await standingGenerations(run)
  const next = standing.filter((generation) => !seen.through.has(generation))
  if (next.length > 0) return next
  if (standing[0] !== undefined) tellThatItStands(run, standing[0], seen)
  // A list that was got through and left its packs where they are: another one would do no better.
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
