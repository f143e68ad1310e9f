// Packs that a prune is about to delete. The caller reads them after `session/<S>` is written, so that it misses none.

import { openRetireList } from '#shared/repository/format/markers.ts'
import { retireKey } from '#shared/repository/format/names.ts'
import type { Repository } from './repository.ts'

export async function readRetiredPacks(repository: Repository): Promise<ReadonlySet<string>> {
  const retired = new Set<string>()
  for await (const { packs } of retireLists(repository)) for (const pack of packs) retired.add(pack)
  return retired
}

/** The packs of each list, by the list's name `<g>`. */
export async function readRetireLists(repository: Repository): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const lists = new Map<string, ReadonlySet<string>>()
  for await (const { generation, packs } of retireLists(repository)) lists.set(generation, new Set(packs))
  return lists
}

async function* retireLists({ store, keys }: Repository): AsyncGenerator<{ generation: string; packs: string[] }> {
  for await (const { key } of store.list(retireKey(''))) {
    const bytes = await store.get(key)
    // The list was removed after the LIST: that prune has ended and its packs are gone. No live map names them.
    if (bytes === undefined) continue
    const generation = key.slice(retireKey('').length)
    yield { generation, packs: openRetireList(keys, generation, bytes, `${store.location}/${key}`) }
  }
}
