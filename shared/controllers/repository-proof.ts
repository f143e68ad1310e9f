// Checks who wrote the parameters of a BackupRepository, before any Secret is read for them.

import { isObjectName } from '#shared/api/names.ts'
import type { BackupRepository } from '#shared/api/types.ts'
import {
  CLAIM_NAMESPACE_ANNOTATION,
  claimNamespaceOf,
  isNameForClaim,
  repositoryNameOf,
} from '#shared/domain/repository-claim.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { StepDeps } from './deps.ts'

/**
 * BackupRepository is cluster-scoped, so every object of this kind was made by an operator or by Dormouse. Earlier versions also copied the
 * claims of tenants and left no mark on the copy. An unmarked copy is therefore trusted only if a claim in Velero's namespace matches it.
 * Throws RetryableError `RepositoryNotProved`.
 */
export async function requireProved(deps: StepDeps, repository: BackupRepository): Promise<void> {
  const { name } = repository.metadata
  if (claimNamespaceOf(repository) !== undefined || !isNameForClaim(name)) return
  const claimName: unknown = repository.backupRepositoryClaim
  const claim = isObjectName(claimName)
    ? await deps.cluster.read('BackupRepositoryClaim', deps.settings.veleroNamespace, claimName)
    : undefined
  if (claim !== undefined && repositoryNameOf(claim) === name) return
  throw new RetryableError(
    'RepositoryNotProved',
    `BackupRepository ${name} tells of no claim in the Velero namespace: if its parameters are an operator's, ` +
      `annotate it with ${CLAIM_NAMESPACE_ANNOTATION}=${deps.settings.veleroNamespace}`,
  )
}
