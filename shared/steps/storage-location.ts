// Velero's BackupStorageLocation of a repository, when its parameters name one: is it there, and does it take writes?

import type { KubeObject } from '#shared/api/kinds.ts'
import { claimNamespaceOf, isOpenTo, notAllowed } from '#shared/domain/repository-claim.ts'
import { parseRepositoryParameters } from '#shared/domain/repository-parameters.ts'
import { isReadOnly, requireWritable } from '#shared/domain/repository-use.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { StepDeps } from './deps.ts'

type Parameters = Record<string, string>

/**
 * RetryableError `LocationMissing`, TerminalErrors `LocationReadOnly` and, when it is not open (any more) to the tenant whose claim the
 * repository was made for, `LocationNotAllowed`. Without Velero there is no location to ask, and none to obey.
 */
export async function requireLocationOf(deps: StepDeps, repository: KubeObject): Promise<void> {
  const found = await findLocation(deps, repository['repopsitoryParameters'] ?? {})
  if (found === undefined) return
  requireWritable(found.location, found.name)
  const namespace = claimNamespaceOf(repository) ?? deps.settings.veleroNamespace
  const isTenants = namespace !== deps.settings.veleroNamespace
  if (isTenants && found.location !== undefined && !isOpenTo(found.location, namespace))
    throw notAllowed(found.name, namespace)
}

/** true: backups there can be restored, and nothing may be written. RetryableError `LocationMissing`. */
export async function isLocationReadOnly(deps: StepDeps, parameters: Parameters): Promise<boolean> {
  const found = await findLocation(deps, parameters)
  if (found?.location !== undefined && isReadOnly(found.location)) return true
  if (found !== undefined) requireWritable(found.location, found.name)
  return false
}

type Found = { name: string; location: KubeObject | undefined }

/** undefined: none is named, or its kind is not served. */
async function findLocation(deps: StepDeps, parameters: Parameters): Promise<Found | undefined> {
  const { location: name } = parseRepositoryParameters(parameters)
  if (name === undefined) return undefined
  const location = await readLocation(deps, name)
  return location === 'no such kind' ? undefined : { name, location }
}

export async function readLocation(deps: StepDeps, name: string): Promise<KubeObject | undefined | 'no such kind'> {
  try {
    return await deps.cluster.read('BackupStorageLocation', deps.settings.veleroNamespace, name)
  } catch (error) {
    if (error instanceof RetryableError && error.reason === 'KubernetesKindMissing') return 'no such kind'
    throw error
  }
}
