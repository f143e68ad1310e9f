// A repository whose survey takes many slices: backups of one volume, each with map pages of its own, and some of them deleted.

import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { type Repository, requireRepository } from '#shared/repository/core/repository.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, CHUNK_BYTES, EngineWorld, FCD, PAGE_CHUNKS } from '#test/support/engine-world.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const SECTORS_PER_CHUNK = CHUNK_BYTES / 512

export type LongRepository = {
  objects: MemoryObjectStore['objects']
  times: { nowMs: number }
  store: MemoryObjectStore
  repository: Repository
  world: EngineWorld
  /** Existing roots, with the content that each must restore to. */
  contents: Map<string, MemoryDiskContent>
}

/** Makes `backups` backups, each with one new chunk in every page, and deletes those in `forgotten`. */
export async function longRepository(
  backups = 12,
  forgotten = ['s2', 's5', 's6'],
  pages = 60,
): Promise<LongRepository> {
  const times = { nowMs: 1_700_000_000_000 }
  const store = new MemoryObjectStore({ nowMs: () => times.nowMs })
  const world = await EngineWorld.create(store)
  let content = new MemoryDiskContent(pages * PAGE_CHUNKS * CHUNK_BYTES, CHUNK_BYTES)
  const contents = new Map<string, MemoryDiskContent>()
  let parentRoot: string | undefined
  for (let n = 0; n < backups; n++) {
    content = content.snapshot()
    const writes = Array.from({ length: pages }, (_, page) => ({
      kind: 'write' as const,
      sector: (page * PAGE_CHUNKS + (n % PAGE_CHUNKS)) * SECTORS_PER_CHUNK,
      sectors: SECTORS_PER_CHUNK,
      fill: 1 + n,
    }))
    const changedAreas = applyChanges(content, writes)
    const options = parentRoot === undefined ? {} : { parentRoot, changedAreas }
    parentRoot = await world.backup(content, `s${n}`, options)
    if (!forgotten.includes(`s${n}`)) contents.set(parentRoot, content)
  }
  for (const snapshot of forgotten) await world.repositories.forget(access, FCD, snapshot)
  times.nowMs += 3_600_000
  const repository = await requireRepository(store, access.password)
  return { objects: store.objects, times, store, repository, world, contents }
}

/** A copy of the repository: changes to the copy do not affect the original. */
export function copyOf({ objects, repository, contents, times }: LongRepository): LongRepository {
  const time = { ...times }
  const store = new MemoryObjectStore({ objects: new Map(objects), nowMs: () => time.nowMs })
  return {
    objects: store.objects,
    times: time,
    store,
    repository: { ...repository, store },
    world: new EngineWorld(store),
    contents: new Map(contents),
  }
}
