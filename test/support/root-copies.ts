// Packs that hold only the copy of a root: no backup needs them.

import { requireRepository } from '#shared/repository/core/repository.ts'
import { packKey, sessionInKey } from '#shared/repository/format/names.ts'
import { openRoot } from '#shared/repository/format/root.ts'
import { claimedKind } from '#shared/repository/format/sealed-object.ts'
import type { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access } from './engine-world.ts'

/** Those of existing backups. */
export async function copyPacks(store: MemoryObjectStore): Promise<Set<string>> {
  const { keys } = await requireRepository(store, access.password)
  const copies = new Set<string>()
  for (const [key, { body }] of store.objects) {
    const session = key.startsWith('roots/') && claimedKind(body) === 'root' ? sessionInKey(key) : undefined
    if (session !== undefined) copies.add(packKey(`${session}/${openRoot(keys, session, body, key).copy}`))
  }
  return copies
}
