// From a BackupRepository's name to everything needed to open its bucket. Secrets are read at each call, so they may rotate.

import { parseRepositoryParameters, type RepositorySettings } from '#shared/domain/repository-parameters.ts'
import {
  collectSecrets,
  credentialNotes,
  credentialOrigin,
  parseRepositoryKey,
  toS3Settings,
} from '#shared/domain/repository-secrets.ts'
import type { RepositoryUse } from '#shared/domain/repository-use.ts'
import { DEFAULT_ENCRYPTION_SECRET } from '#shared/domain/secret-purposes.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { RecoveryChoice, RepositoryAccess } from '#shared/ports/mover.ts'
import type { StepDeps } from './deps.ts'
import { requireProved } from './repository-proof.ts'
import { isLocationReadOnly, requireLocationOf } from './storage-location.ts'

export type ResolvedAccess = {
  access: RepositoryAccess
  recovery: RecoveryChoice | undefined
  plaintextCredentials: boolean
  /** Its BackupStorageLocation takes no writes. */
  readOnly: boolean
}

/**
 * RetryableErrors `RepositoryNotFound` (it may be applied a moment later), `RepositoryNotProved`. `write`: also what requireLocationOf
 * throws.
 */
export async function accessOfRepository(
  deps: StepDeps,
  name: string,
  use: RepositoryUse = 'read',
): Promise<RepositoryAccess> {
  const repository = await deps.cluster.read('BackupRepository', undefined, name)
  if (repository === undefined) {
    throw new RetryableError('RepositoryNotFound', `BackupRepository ${name} does not exist: was its claim deleted?`)
  }
  const parameters: Record<string, string> = repository['repopsitoryParameters'] ?? {}
  await requireProved(deps, repository)
  if (use === 'write') await requireLocationOf(deps, repository)
  return (await openParameters(deps, parameters)).access
}

/** For a BackupRepositoryClaim, with parameters that are an operator's: the location must be there, and may be one that is only read. */
export async function accessOfParameters(deps: StepDeps, parameters: Record<string, string>): Promise<ResolvedAccess> {
  const readOnly = await isLocationReadOnly(deps, parameters)
  return { ...(await openParameters(deps, parameters)), readOnly }
}

async function openParameters(
  deps: StepDeps,
  parameters: Record<string, string>,
): Promise<Omit<ResolvedAccess, 'readOnly'>> {
  const settings = parseRepositoryParameters(parameters)
  const readSecret = (name: string) => deps.cluster.read('Secret', deps.settings.veleroNamespace, name)
  const secrets = await collectSecrets(settings, readSecret)
  const s3 = toS3Settings(settings, secrets)
  for (const note of credentialNotes(settings, secrets)) deps.log.warn({}, note)
  const keyName = encryptionSecretName(settings)
  const { password, recovery } = parseRepositoryKey(await readSecret(keyName), keyName)
  return {
    access: { s3, password, credentialOrigin: credentialOrigin(settings) },
    recovery,
    plaintextCredentials: settings.plaintextCredentials,
  }
}

function encryptionSecretName(settings: RepositorySettings): string {
  return settings.encryptionSecretName === '' ? DEFAULT_ENCRYPTION_SECRET : settings.encryptionSecretName
}
