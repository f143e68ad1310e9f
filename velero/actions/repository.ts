// The BackupRepository for the volumes of a namespace in a BackupStorageLocation: found by its claim, or requested with a new claim.

import { isObjectName } from '#shared/api/names.ts'
import type { Backup, BackupRepositoryClaim, BackupStorageLocation } from '#shared/api/types.ts'
import { presentRepository } from '#shared/controllers/storage-location.ts'
import { conditionOf } from '#shared/domain/conditions.ts'
import { followsLocation } from '#shared/domain/present-location.ts'
import type { StoreSpec } from '#shared/domain/store-rules.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { ActionLog } from '../actions.ts'
import { repositoryName } from '../domain/names.ts'
import { claimsSamePlace, claimsSameRepository, repositoryClaimOf, sortedText } from '../domain/requests.ts'
import type { ActionDeps } from './deps.ts'
import { repositoryClaimName } from './digest.ts'
import { findOrCreate } from './find-or-create.ts'

/**
 * The repository's name. The repository need not exist yet: its name follows from the claim, and transfers wait for it. TerminalErrors
 * `LocationMissing` and `RepositoryParametersInvalid`.
 */
export async function repositoryFor(
  deps: ActionDeps,
  backup: Backup,
  namespace: string,
  log: ActionLog,
): Promise<string> {
  const location = await requireLocation(deps, backup)
  const spec = deps.stores.specOf(location)
  const claim =
    (await findClaim(deps, spec, namespace, location.metadata.name)) ?? (await makeClaim(deps, spec, namespace))
  const ready = conditionOf(claim.status?.conditions, 'Ready')
  if (ready?.status === 'False')
    log.warn(`the repository is not ready, the upload waits for it: ${ready.reason}: ${ready.message}`)
  const given = claim.backupRepository
  return isObjectName(given) ? given : repositoryName(claim.metadata.uid)
}

/**
 * The repository of a stored backup. The cluster that made the backup finds it by name. In another cluster, and if Velero has since found
 * the Backup in a location with another name, it is the repository of the Backup's present location.
 */
export async function knownRepository(
  deps: ActionDeps,
  stored: { backupRepository: string; namespace: string },
  backup: Backup,
  log: ActionLog,
): Promise<string> {
  const { backupRepository: name } = stored
  if (name === '') return name
  const known = await deps.cluster.read('BackupRepository', undefined, name)
  if (known === undefined) return await repositoryFor(deps, backup, stored.namespace, log)
  const location = known.repopsitoryParameters?.['backupStorageLocation'] ?? ''
  const isThere = location === '' || location === backup.spec?.storageLocation
  if (isThere || (await findLocation(deps, backup)) === undefined) return name
  return await repositoryFor(deps, backup, stored.namespace, log)
}

async function findLocation(deps: ActionDeps, backup: Backup): Promise<BackupStorageLocation | undefined> {
  const name = backup.spec?.storageLocation
  return isObjectName(name) ? await deps.cluster.read('BackupStorageLocation', deps.veleroNamespace, name) : undefined
}

async function requireLocation(deps: ActionDeps, backup: Backup): Promise<BackupStorageLocation> {
  const location = await findLocation(deps, backup)
  if (location !== undefined) return location
  const name = backup.spec?.storageLocation
  throw new TerminalError(
    'LocationMissing',
    `BackupStorageLocation ${JSON.stringify(name)?.slice(0, 80)} of Backup ${backup.metadata.name} does not exist in ${deps.veleroNamespace}`,
  )
}

/**
 * Claims of the Velero Plugin for vSphere and claims that users made count too; a claim that has its repository already comes first.
 * Otherwise a claim that was made when the location had other settings or another name, if its repository uses this location today.
 */
async function findClaim(
  deps: ActionDeps,
  spec: StoreSpec,
  namespace: string,
  location: string,
): Promise<BackupRepositoryClaim | undefined> {
  const claims = await deps.cluster.list('BackupRepositoryClaim', { namespace: deps.veleroNamespace })
  const same = claims.filter((claim) => claimsSameRepository(claim, spec, namespace))
  if (same.length > 0) return same.find((claim) => isObjectName(claim.backupRepository)) ?? same[0]
  for (const claim of claims.filter((one) => claimsSamePlace(deps.stores, one, spec, namespace)))
    if (await isFollowing(deps, claim, location)) return claim
  return undefined
}

/** Its repository uses the settings that the location has today. */
async function isFollowing(deps: ActionDeps, claim: BackupRepositoryClaim, location: string): Promise<boolean> {
  const name: unknown = claim.backupRepository
  const repository = isObjectName(name) ? await deps.cluster.read('BackupRepository', undefined, name) : undefined
  // A repository that follows no location may have been written by any user, and hold parameters that cannot be read.
  if (repository === undefined || !followsLocation(repository)) return false
  const present = await presentRepository(deps, repository)
  // Not a repository that was moved to this place and still has to prove that its data is there: backups would wait for data that may
  // never have been copied.
  return present.location?.metadata.name === location && !(present.isMoved && present.repositoryId !== undefined)
}

async function makeClaim(deps: ActionDeps, spec: StoreSpec, namespace: string): Promise<BackupRepositoryClaim> {
  const name = repositoryClaimName(JSON.stringify([spec.driver, namespace, sortedText(spec.parameters)]))
  const wanted = repositoryClaimOf({ name, veleroNamespace: deps.veleroNamespace, namespace, spec })
  const own = (claim: BackupRepositoryClaim) => claimsSameRepository(claim, spec, namespace)
  const { object } = await findOrCreate(deps, 'BackupRepositoryClaim', wanted, own)
  return object
}
