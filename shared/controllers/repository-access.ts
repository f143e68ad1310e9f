// From a BackupRepository's name to everything needed to open its bucket. Secrets are read at each call, so they may rotate.

import type { BackupRepository } from '#shared/api/types.ts'
import {
  collectSecrets,
  parseRepositoryKey,
  type RepositoryKey,
  requireOneRecovery,
} from '#shared/domain/repository-secrets.ts'
import type { RepositoryUse } from '#shared/domain/repository-use.ts'
import type { StoreWarning } from '#shared/domain/store-rules.ts'
import type { RecoveryChoice, RepositoryAccess } from '#shared/ports/mover.ts'
import type { StepDeps } from './deps.ts'
import { requireBackupRepository } from './repository-permit.ts'
import { requireProved } from './repository-proof.ts'
import { type PresentRepository, requireLocation, requirePresent } from './storage-location.ts'

export type ResolvedAccess = {
  access: RepositoryAccess
  recovery: RecoveryChoice | undefined
  /** As in StoreParameters. */
  plaintextCredentials: StoreWarning | undefined
  /** Its BackupStorageLocation accepts no writes. */
  readOnly: boolean
}

/**
 * Uses the settings that the repository's location has today. Throws RetryableErrors `RepositoryNotFound` (the repository may be applied a
 * moment later) and `RepositoryNotProved`. With `write` it also throws the errors of requirePresent.
 */
export async function accessOfRepository(
  deps: StepDeps,
  name: string,
  use: RepositoryUse = 'read',
): Promise<RepositoryAccess> {
  const repository = await requireBackupRepository(deps, name)
  await requireProved(deps, repository)
  return (await openPresent(deps, await requirePresent(deps, repository, use))).access
}

/** For the claim that the repository was just made for. The location must exist, but it may be read-only. */
export async function accessOfClaimed(deps: StepDeps, repository: BackupRepository): Promise<ResolvedAccess> {
  const present = await requireLocation(deps, repository)
  const { key, keyName, ...resolved } = await openPresent(deps, present)
  requireOneRecovery(key, keyName)
  return { ...resolved, recovery: key.recovery, readOnly: present.readOnly }
}

async function openPresent(
  deps: StepDeps,
  { spec, repositoryId }: PresentRepository,
): Promise<Pick<ResolvedAccess, 'access' | 'plaintextCredentials'> & { key: RepositoryKey; keyName: string }> {
  const { secrets: references, encryptionSecretName, plaintextCredentials } = deps.stores.parse(spec)
  const readSecret = (name: string) => deps.cluster.read('Secret', deps.settings.veleroNamespace, name)
  const secrets = await collectSecrets(references, readSecret)
  const { settings: store, notes } = deps.stores.settingsFrom(spec, secrets)
  for (const note of notes) deps.log.warn({}, note)
  const key = parseRepositoryKey(await readSecret(encryptionSecretName), encryptionSecretName)
  return {
    access: { store, password: key.password, ...(repositoryId === undefined ? {} : { repositoryId }) },
    key,
    keyName: encryptionSecretName,
    plaintextCredentials,
  }
}
