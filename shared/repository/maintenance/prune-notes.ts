// Notes of surveys that are of little use any more: their useful parts are copied into fresh notes, then the old notes are deleted.

import { HOUR_MS } from '#shared/kernel/units.ts'
import { reachNoteKind } from '#shared/repository/format/names.ts'
import { idBytes } from '#shared/repository/format/reach-notes.ts'
import type { NotedObject } from './noted-reach.ts'
import type { PruneRun } from './prune-run.ts'

/** Another prune may be working with a young note, whose use this prune cannot know. */
const YOUNG_MS = HOUR_MS
/** false: time was up. A process that finds a note gone reads the noted objects again. */
export async function tidyNotes(run: PruneRun): Promise<boolean> {
  const { reach, notes, remover } = run
  const doomed = untidy(reach.noted?.objects ?? [], run.nowMs - YOUNG_MS)
  for (const object of doomed) {
    if (run.isOver()) return false
    // If no entry is used, other notes say the same, or the entries are about roots that are gone.
    if (object.used > 0) await carryOver(run, object)
  }
  if (doomed.length === 0) return true
  await notes.write() // before the old notes are deleted
  return await remover.removeAll(doomed)
}

function untidy(objects: readonly NotedObject[], beforeMs: number): NotedObject[] {
  const isOfUse = ({ used, entries }: NotedObject) => entries > 0 && used * 2 >= entries
  return objects.filter((object) => object.modifiedMs < beforeMs && !isOfUse(object))
}

/** Copies the entries about roots that exist. */
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
