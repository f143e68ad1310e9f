// Packs that a prune is about to delete. The caller reads them after `session/<S>` is written, so that it misses none.

import { openRetireList } from '#shared/repository/format/markers.ts'
import { retireKey } from '#shared/repository/format/names.ts'
import type { Repository } from './repository.ts'

export async function readRetiredPacks({ store, keys }: Repository): Promise<ReadonlySet<string>> {
  const retired = new Set<string>()
  for await (const { key } of store.list(retireKey(''))) {
    const bytes = await store.get(key)
    // The list was removed after the LIST: that prune has ended and its packs are gone. No live map names them.
    if (bytes === undefined) continue
    const generation = key.slice(retireKey('').length)
    for (const pack of openRetireList(keys, generation, bytes, `${store.location}/${key}`)) retired.add(pack)
  }
  return retired
}
