// Notes of surveys that are of little use any more: what is left of them goes into fresh ones, then they go.

import { HOUR_MS } from '#shared/kernel/units.ts'
import { reachNoteKind } from '#shared/repository/format/names.ts'
import { idBytes } from '#shared/repository/format/reach-notes.ts'
import type { NotedObject } from './noted-reach.ts'
import type { PruneRun } from './prune-run.ts'

/** Another prune may be at work with a young note that we do not know the use of. */
const YOUNG_MS = HOUR_MS
/** false: time was up. Who reads a note that is gone reads again what it was about. */
export async function tidyNotes(run: PruneRun): Promise<boolean> {
  const { reach, notes, remover } = run
  const doomed = untidy(reach.noted?.objects ?? [], run.nowMs - YOUNG_MS)
  for (const object of doomed) {
    if (run.isOver()) return false
    // Nothing of it was needed: others tell the same, or nobody wants to know.
    if (object.used > 0) await carryOver(run, object)
  }
  if (doomed.length === 0) return true
  await notes.write() // before the old ones go
  return await remover.removeAll(doomed)
}

function untidy(objects: readonly NotedObject[], beforeMs: number): NotedObject[] {
  const isOfUse = ({ used, entries }: NotedObject) => entries > 0 && used * 2 >= entries
  return objects.filter((object) => object.modifiedMs < beforeMs && !isOfUse(object))
}

/** What of it is about roots that stand. */
async function carryOver({ reach, notes }: PruneRun, object: NotedObject): Promise<void> {
  if (reachNoteKind(object.key) === 'roots') {
    for (const note of await notes.rootsIn(object)) if (reach.hasRoot(note)) notes.addRoot(note)
    return
  }
  const { packs, pages } = await notes.pagesIn(object)
  for (const page of pages) {
    if (!reach.hasPage(page.id)) continue
    const named = Array.from(page.packs, (number) => packs[number] ?? '')
    notes.addPage(idBytes(page.id), named)
    await notes.writeIfDue()
  }
}
