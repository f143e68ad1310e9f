// The BackupRepository for the volumes of a namespace in a BackupStorageLocation: found by its claim, or claimed.

import { KINDS, type KubeObject } from '#shared/api/kinds.ts'
import { isObjectName } from '#shared/api/names.ts'
import { conditionOf } from '#shared/domain/conditions.ts'
import { REPOSITORY_DRIVER } from '#shared/domain/repository-claim.ts'
import { parametersFromLocation } from '#shared/domain/repository-parameters.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { ActionLog } from '../actions.ts'
import { repositoryName } from '../domain/names.ts'
import { claimsSameRepository, repositoryClaimOf, sortedText } from '../domain/requests.ts'
import type { ActionDeps } from './deps.ts'
import { repositoryClaimName } from './digest.ts'
import { findOrCreate } from './find-or-create.ts'

/**
 * The repository's name. It need not exist yet: its name follows from the claim, and transfers wait for it. TerminalErrors
 * `LocationMissing` and `RepositoryParametersInvalid`.
 */
export async function repositoryFor(
  deps: ActionDeps,
  backup: KubeObject,
  namespace: string,
  log: ActionLog,
): Promise<string> {
  const parameters = parametersFromLocation(await requireLocation(deps, backup))
  const claim = (await findClaim(deps, parameters, namespace)) ?? (await makeClaim(deps, parameters, namespace))
  const ready = conditionOf(claim['status']?.conditions, 'Ready')
  if (ready?.status === 'False')
    log.warn(`the repository is not ready, the upload waits for it: ${ready.reason}: ${ready.message}`)
  const given = claim['backupRepository']
  return isObjectName(given) ? given : repositoryName(claim.metadata.uid)
}

/**
 * The repository of a stored backup. In the cluster that made it, it is known by name; in another one it is claimed anew from
 * the location of the Backup that Velero has found there.
 */
export async function knownRepository(
  deps: ActionDeps,
  stored: { backupRepository: string; namespace: string },
  backup: KubeObject,
  log: ActionLog,
): Promise<string> {
  const { backupRepository: name } = stored
  if (name === '' || (await deps.cluster.read('BackupRepository', undefined, name)) !== undefined) return name
  return await repositoryFor(deps, backup, stored.namespace, log)
}

async function requireLocation(deps: ActionDeps, backup: KubeObject): Promise<KubeObject> {
  const name = backup['spec']?.storageLocation
  const location = isObjectName(name)
    ? await deps.cluster.read('BackupStorageLocation', deps.veleroNamespace, name)
    : undefined
  if (location !== undefined) return location
  throw new TerminalError(
    'LocationMissing',
    `BackupStorageLocation ${JSON.stringify(name)?.slice(0, 80)} of Backup ${backup.metadata.name} does not exist in ${deps.veleroNamespace}`,
  )
}

/** The peer's claims and those made by hand count too; one that has its repository already goes first. */
async function findClaim(
  deps: ActionDeps,
  parameters: Record<string, string>,
  namespace: string,
): Promise<KubeObject | undefined> {
  const claims = await deps.cluster.list('BackupRepositoryClaim', { namespace: deps.veleroNamespace })
  const same = claims.filter((claim) => claimsSameRepository(claim, parameters, namespace))
  return same.find((claim) => isObjectName(claim['backupRepository'])) ?? same[0]
}

async function makeClaim(deps: ActionDeps, parameters: Record<string, string>, namespace: string): Promise<KubeObject> {
  const name = repositoryClaimName(JSON.stringify([REPOSITORY_DRIVER, namespace, sortedText(parameters)]))
  const wanted = repositoryClaimOf({ name, veleroNamespace: deps.veleroNamespace, namespace, parameters })
  const kind = 'BackupRepositoryClaim'
  const own = (claim: KubeObject) => claimsSameRepository(claim, parameters, namespace)
  const { object } = await findOrCreate(deps, { ...wanted, apiVersion: KINDS[kind].apiVersion, kind }, own)
  return object
}
