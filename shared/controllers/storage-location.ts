// The Velero BackupStorageLocation that a repository's parameters name, if any: its current settings, and whether it accepts writes.

import type { BackupRepository, BackupStorageLocation } from '#shared/api/types.ts'
import { decidePresent, type Present, type Recorded, recordedId, recordedOf } from '#shared/domain/present-location.ts'
import { isOpenTo, notAllowed } from '#shared/domain/repository-claim.ts'
import type { RepositoryUse } from '#shared/domain/repository-use.ts'
import { isReadOnly, requireWritable } from '#shared/domain/repository-use.ts'
import { type StoreRules, specOfRepository } from '#shared/domain/store-rules.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import type { StepDeps } from './deps.ts'

type LocationDeps = { cluster: Pick<Cluster, 'read' | 'list'>; veleroNamespace: string; stores: StoreRules }

/** `asked` is undefined if the parameters name no location or if Velero's kind is not served; the parameters then count as they are. */
export type PresentRepository = Present & { asked: Recorded | undefined }

/** Reads the location at each call, because locations are edited, renamed and moved. */
export async function presentRepository(deps: LocationDeps, repository: BackupRepository): Promise<PresentRepository> {
  const recorded = recordedOf(deps.stores, repository, deps.veleroNamespace)
  const named = recorded === undefined ? 'no such kind' : await readLocation(deps, recorded.name)
  if (recorded === undefined || named === 'no such kind') {
    const spec = specOfRepository(repository)
    return { asked: undefined, location: undefined, spec, repositoryId: recordedId(repository), isMoved: false }
  }
  const others = () => deps.cluster.list('BackupStorageLocation', { namespace: deps.veleroNamespace })
  return { asked: recorded, ...(await decidePresent(deps.stores, recorded, named, others)) }
}

/**
 * With `write` it throws RetryableError `LocationMissing`, TerminalError `LocationReadOnly` and, if the location is not (or no longer) open
 * to the tenant whose claim the repository was made for, TerminalError `LocationNotAllowed`. Without Velero there is no location, so there
 * is no such limit.
 */
export async function requirePresent(
  deps: StepDeps,
  repository: BackupRepository,
  use: RepositoryUse,
): Promise<PresentRepository> {
  const present = await presentRepository(locationDeps(deps), repository)
  const { asked, location } = present
  if (use === 'read' || asked === undefined) return present
  requireWritable(location, asked)
  const { tenant } = asked
  if (tenant !== undefined && location !== undefined && !isOpenTo(location, tenant))
    throw notAllowed(location.metadata.name, tenant)
  return present
}

/** For the repository function: a read-only location is accepted, because it serves restores. Throws RetryableError `LocationMissing`. */
export async function requireLocation(
  deps: StepDeps,
  repository: BackupRepository,
): Promise<PresentRepository & { readOnly: boolean }> {
  const present = await presentRepository(locationDeps(deps), repository)
  const { asked, location } = present
  if (location !== undefined && isReadOnly(location)) return { ...present, readOnly: true }
  if (asked !== undefined) requireWritable(location, asked)
  return { ...present, readOnly: false }
}

export async function readLocation(
  { cluster, veleroNamespace }: Pick<LocationDeps, 'veleroNamespace'> & { cluster: Pick<Cluster, 'read'> },
  name: string,
): Promise<BackupStorageLocation | undefined | 'no such kind'> {
  try {
    return await cluster.read('BackupStorageLocation', veleroNamespace, name)
  } catch (error) {
    if (error instanceof RetryableError && error.reason === 'KubernetesKindMissing') return 'no such kind'
    throw error
  }
}

export function locationDeps({ cluster, settings, stores }: StepDeps): LocationDeps {
  return { cluster, veleroNamespace: settings.veleroNamespace, stores }
}
