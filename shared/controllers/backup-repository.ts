// The BackupRepository that an object names.

import type { BackupRepository } from '#shared/api/types.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { Cluster } from '#shared/ports/cluster.ts'

/** RetryableError `RepositoryNotFound`: it may be applied a moment later. */
export async function requireBackupRepository(cluster: Cluster, name: string | undefined): Promise<BackupRepository> {
  const repository = await cluster.read('BackupRepository', undefined, name ?? '')
  if (repository !== undefined) return repository
  throw new RetryableError('RepositoryNotFound', `BackupRepository ${name} does not exist: was its claim deleted?`)
}
