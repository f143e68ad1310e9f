// Repositories for a function. The engine and the store clients are large: they are loaded when a repository is first needed.

import type { RepositoryDeps, StepDeps } from '#shared/controllers/deps.ts'
import { accessOfRepository } from '#shared/controllers/repository-access.ts'
import type { Repositories, RepositoryAccess } from '#shared/ports/mover.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import type { OpenedStore } from '#shared/ports/stores.ts'
import { loadStores } from '#shared/repository/stores/open.ts'

export function wireRepositories<Deps extends StepDeps>(deps: Deps): Deps & RepositoryDeps {
  const load = lazily(() => loadRepositories(deps))
  const repositories: Repositories = {
    ensure: async (...args) => await (await load()).ensure(...args),
    inspect: async (...args) => await (await load()).inspect(...args),
    newSessionId: async (...args) => await (await load()).newSessionId(...args),
    backupsOf: async (...args) => await (await load()).backupsOf(...args),
    find: async (...args) => await (await load()).find(...args),
    rootsOf: async (...args) => await (await load()).rootsOf(...args),
    forget: async (...args) => await (await load()).forget(...args),
    abandon: async (...args) => await (await load()).abandon(...args),
    leavesCheckpoint: async (...args) => await (await load()).leavesCheckpoint(...args),
    prune: async (...args) => await (await load()).prune(...args),
  }
  return { ...deps, repositories, access: (name, use) => accessOfRepository(deps, name, use) }
}

async function loadRepositories(deps: StepDeps): Promise<Repositories> {
  const [{ createRepositories }, open, { blockSourceOf: sourceOf }] = await Promise.all([
    import('#shared/repository/repositories.ts'),
    loadStores(),
    import('#shared/movers/block/block-source.ts'),
  ])
  const storeOf = rememberingLast(({ store }: RepositoryAccess) => open(store, { clock: deps.clock }))
  const warn = (reason: string, message: string) => deps.log.warn({ reason }, message)
  return createRepositories({ storeOf, clock: deps.clock, chunkBytes: deps.settings.chunkBytes, warn, sourceOf })
}

/** Shares one store between calls with the same settings, so that its connections are reused; other settings replace it. */
function rememberingLast(create: (access: RepositoryAccess) => OpenedStore) {
  let last: { settings: string; store: OpenedStore } | undefined
  return (access: RepositoryAccess): ObjectStore => {
    const settings = JSON.stringify(access.store)
    if (last?.settings !== settings) {
      last?.store.close()
      last = { settings, store: create(access) }
    }
    return last.store
  }
}

function lazily<T>(create: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= create().catch((error) => {
      made = undefined
      throw error
    })
    return made
  }
}
