// Reads the BackupRepository that an object names and checks whether namespaces may back up into it. This runs before anything is made for
// a backup, and at each slice of its upload.

import type { BackupRepository } from '#shared/api/types.ts'
import { requireNamespace } from '#shared/domain/repository-use.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { StepDeps } from './deps.ts'

/** Throws RetryableError `RepositoryNotFound`: the repository may be applied a moment later. */
export async function requireBackupRepository(
  { cluster }: StepDeps,
  name: string | undefined,
): Promise<BackupRepository> {
  const repository = await cluster.read('BackupRepository', undefined, name ?? '')
  if (repository !== undefined) return repository
  throw new RetryableError('RepositoryNotFound', `BackupRepository ${name} does not exist: was its claim deleted?`)
}

/**
 * Returns the repository. undefined: local mode, or the repository does not exist (yet); the transfer waits for it and checks again. Throws
 * TerminalError `NamespaceNotAllowed` if none of the namespaces may use it.
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
