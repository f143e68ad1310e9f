// What the notes of earlier slices and prunes say about the roots that exist now.

import type { StoredObject } from '#shared/ports/object-store.ts'
import { inParallel } from '#shared/repository/core/in-parallel.ts'
import { pageId, type RootNote } from '#shared/repository/format/reach-notes.ts'
import { ID_BYTES } from '#shared/repository/format/version.ts'
import type { ReachNotes } from './reach-notes.ts'

/** Reading one note takes up to about 20 MB. */
const PARALLEL_NOTES = 4

export type NotedReach = {
  /** Roots whose pages are all noted. */
  roots: RootNote[]
  /** Pages of existing roots, by id. */
  pages: Set<string>
  /** Notes about other pages, of roots that are not noted yet or are gone: the note's key, by page id. */
  elsewhere: Map<string, string>
  /** The note objects, and how much of each is still of use. */
  objects: NotedObject[]
}
export type NotedObject = StoredObject & { entries: number; used: number }

/**
 * `stands`: whether the object at the root's key is the one that the note describes. `take` receives each pack that an existing root
 * names, with the session of one such root.
 */
export async function readNotes(
  notes: ReachNotes,
  stands: (note: RootNote) => Promise<boolean>,
  take: (pack: string, session: string) => void,
): Promise<NotedReach> {
  const listed = await notes.listJoined()
  const objects: NotedObject[] = []
  const standing = new Map<string, RootNote>()
  await inParallel(listed.roots, PARALLEL_NOTES, async (object) => {
    const found = await notes.rootsIn(object)
    let used = 0
    for (const note of found) {
      if (standing.has(note.session) || !(await stands(note))) continue
      standing.set(note.session, note)
      used++
    }
    objects.push({ ...object, entries: found.length, used })
  })
  const wanted = new Map<string, string>()
  for (const { session, pages } of standing.values()) for (const id of idsIn(pages)) wanted.set(id, session)
  const noted = { pages: new Set<string>(), elsewhere: new Map<string, string>() }
  await inParallel(listed.pages, PARALLEL_NOTES, async (object) => {
    objects.push(await readPages(notes, object, wanted, noted, take))
  })
  const roots = [...standing.values()].filter(({ pages }) => idsIn(pages).every((id) => noted.pages.has(id)))
  for (const { session, packs } of roots) for (const pack of packs) take(pack, session)
  return { roots, ...noted, objects }
}

async function readPages(
  notes: ReachNotes,
  object: StoredObject,
  wanted: ReadonlyMap<string, string>,
  noted: Pick<NotedReach, 'pages' | 'elsewhere'>,
  take: (pack: string, session: string) => void,
): Promise<NotedObject> {
  const { packs, pages } = await notes.pagesIn(object)
  const taken = new Uint8Array(packs.length)
  let used = 0
  for (const page of pages) {
    const session = wanted.get(page.id)
    if (session === undefined) noted.elsewhere.set(page.id, object.key)
    if (session === undefined || noted.pages.has(page.id)) continue
    noted.pages.add(page.id)
    used++
    for (const number of page.packs) {
      if (taken[number] === 0) take(packs[number] ?? '', session)
      taken[number] = 1
    }
  }
  return { ...object, entries: pages.length, used }
}

function idsIn(pages: Uint8Array): string[] {
  return Array.from({ length: pages.length / ID_BYTES }, (_, n) =>
    pageId(pages.subarray(n * ID_BYTES, (n + 1) * ID_BYTES)),
  )
}
