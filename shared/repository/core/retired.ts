// Packs that garbage collection is about to delete. Read after `session/<S>` stands, so that none is missed.

import { openRetireList } from '#shared/repository/format/markers.ts'
import { retireKey } from '#shared/repository/format/names.ts'
import type { Repository } from './repository.ts'

export async function readRetiredPacks({ store, keys }: Repository): Promise<ReadonlySet<string>> {
  const retired = new Set<string>()
  for await (const { key } of store.list(retireKey(''))) {
    const bytes = await store.get(key)
    // Gone since the LIST: that collection has ended, and its packs with it; no live map names them.
    if (bytes === undefined) continue
    const generation = key.slice(retireKey('').length)
    for (const pack of openRetireList(keys, generation, bytes, `${store.location}/${key}`)) retired.add(pack)
  }
  return retired
}
