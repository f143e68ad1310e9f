// The BackupRepository that an object names, and whether namespaces may back up into it: asked before anything is made for a backup, and at each
// slice of its upload.

import type { BackupRepository } from '#shared/api/types.ts'
import { requireNamespace } from '#shared/domain/repository-use.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { StepDeps } from './deps.ts'

/** RetryableError `RepositoryNotFound`: it may be applied a moment later. */
export async function requireBackupRepository(
  { cluster }: StepDeps,
  name: string | undefined,
): Promise<BackupRepository> {
  const repository = await cluster.read('BackupRepository', undefined, name ?? '')
  if (repository !== undefined) return repository
  throw new RetryableError('RepositoryNotFound', `BackupRepository ${name} does not exist: was its claim deleted?`)
}

/**
 * The repository. undefined: local mode, or it is not there (yet), which is left to the transfer: that waits for it, and asks again.
 * TerminalError `NamespaceNotAllowed`: none of the namespaces may use it.
 */
export async function requireAllowed(
  deps: StepDeps,
  name: string,
  namespaces: readonly string[],
): Promise<BackupRepository | undefined> {
  const repository = name === '' ? undefined : await deps.cluster.read('BackupRepository', undefined, name)
  if (repository !== undefined) requireNamespace(repository, namespaces)
  return repository
}
