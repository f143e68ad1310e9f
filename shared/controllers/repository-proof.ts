// Whose word are the parameters of a BackupRepository? Asked before a Secret is read for them.

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
 * The kind is cluster-scoped, so what is there was made by an operator or by Dormouse. Earlier versions copied the claims of tenants, too,
 * and left no mark: of those only what a claim in Velero's namespace stands behind is believed. RetryableError `RepositoryNotProved`.
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
