// Velero's BackupStorageLocation of a repository, when its parameters name one: is it there, and does it take writes?

import type { KubeObject } from '#shared/api/kinds.ts'
import { parseRepositoryParameters } from '#shared/domain/repository-parameters.ts'
import { isReadOnly, requireWritable } from '#shared/domain/repository-use.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { StepDeps } from './deps.ts'

type Parameters = Record<string, string>

/** RetryableError `LocationMissing`, TerminalError `LocationReadOnly`. Without Velero there is no location to ask, and none to obey. */
export async function requireLocation(deps: StepDeps, parameters: Parameters): Promise<void> {
  const found = await findLocation(deps, parameters)
  if (found !== undefined) requireWritable(found.location, found.name)
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
  try {
    const location = await deps.cluster.read('BackupStorageLocation', deps.settings.veleroNamespace, name)
    return { name, location }
  } catch (error) {
    if (error instanceof RetryableError && error.reason === 'KubernetesKindMissing') return undefined
    throw error
  }
}
