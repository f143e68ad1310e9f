// Opens the store of a repository from its parameters, with the Secrets that they name.

import { collectSecrets } from '#shared/domain/repository-secrets.ts'
import type { StoreParameters, StoreSpec } from '#shared/domain/store-rules.ts'
import type { OpenedStore, StoreOptions, Stores } from '#shared/ports/stores.ts'
import { openStore } from '#shared/repository/stores/open.ts'
import type { ClusterAccess } from './cluster-access.ts'

export type NamedStore = {
  parameters: StoreParameters
  store: OpenedStore
  /** Oddities of the Secrets. */
  notes: string[]
  /** Equal for stores that are opened in the same way. Holds secrets: only for comparison. */
  settingsText: string
}

export async function openNamedStore(
  stores: Stores,
  spec: StoreSpec,
  readSecret: ClusterAccess['readSecret'],
  more: Pick<StoreOptions, 'conditionalPut'> = {},
): Promise<NamedStore> {
  const parameters = stores.parse(spec)
  const { settings, notes } = stores.settingsFrom(spec, await collectSecrets(parameters.secrets, readSecret))
  // A user waits for the answer: fewer retries than in a function.
  const store = await openStore(settings, { connectTimeoutMs: 5000, attempts: 2, ...more })
  return { parameters, store, notes, settingsText: JSON.stringify(settings) }
}
