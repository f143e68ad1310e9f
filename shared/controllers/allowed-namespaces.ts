// Asked before anything is made for a backup, and at each slice of its upload: may these namespaces use the repository?

import type { BackupRepository } from '#shared/api/types.ts'
import { requireNamespace } from '#shared/domain/repository-use.ts'
import type { StepDeps } from './deps.ts'

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
