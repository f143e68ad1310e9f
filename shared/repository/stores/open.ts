// Opens stores of any kind. Kept apart from the registry, because code that only reads parameters does not need the clients.

import type { OpenedStore, OpenStore, StoreOptions, StoreSettings } from '#shared/ports/stores.ts'
import type { STORE_KINDS } from './registry.ts'

type Kind = (typeof STORE_KINDS)[number]['kind']

/** A client may be large, so it is loaded only when it is needed. */
const LOADERS = {
  s3: async () => (await import('./s3/store.ts')).openS3,
  folder: async () => (await import('./folder/store.ts')).openFolder,
} satisfies Record<Kind, () => Promise<OpenStore>>

export async function openStore(settings: StoreSettings, options?: StoreOptions): Promise<OpenedStore> {
  const load = loaderOf(settings)
  return (await load())(settings, options)
}

/** Loads all kinds, so that stores can be opened synchronously. */
export async function loadStores(): Promise<OpenStore> {
  const loaded = await Promise.all(Object.values(LOADERS).map(async (load) => [load, await load()] as const))
  const opens = new Map(loaded)
  return (settings, options) => {
    const open = opens.get(loaderOf(settings))
    if (open === undefined) throw new Error(`stores of kind ${settings.kind} were not loaded`)
    return open(settings, options)
  }
}

function loaderOf({ kind }: StoreSettings): () => Promise<OpenStore> {
  const loaders: Record<string, () => Promise<OpenStore>> = LOADERS
  const load = Object.hasOwn(loaders, kind) ? loaders[kind] : undefined
  if (load !== undefined) return load
  throw new Error(`there is no store of kind ${kind}`)
}
