// From repository parameters to the store, with the Secrets that they name.

import { parseRepositoryParameters, type RepositorySettings } from '#shared/domain/repository-parameters.ts'
import { collectSecrets, credentialNotes, credentialOrigin, toS3Settings } from '#shared/domain/repository-secrets.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { createS3Store, type S3StoreOptions } from '#shared/repository/stores/s3/store.ts'
import type { ClusterAccess } from './cluster-access.ts'

export async function openStore(
  parameters: Record<string, string>,
  readSecret: ClusterAccess['readSecret'],
  more: Pick<S3StoreOptions, 'conditionalPut'> = {},
): Promise<{ settings: RepositorySettings; store: ObjectStore; notes: string[] }> {
  const settings = parseRepositoryParameters(parameters)
  const secrets = await collectSecrets(settings, readSecret)
  const s3 = toS3Settings(settings, secrets)
  // A person waits for the answer: less patience than a function has.
  const options = {
    credentialOrigin: credentialOrigin(settings),
    connectTimeoutMs: 5000,
    retry: { attempts: 2 },
    ...more,
  }
  return { settings, store: createS3Store(s3, options), notes: credentialNotes(settings, secrets) }
}
