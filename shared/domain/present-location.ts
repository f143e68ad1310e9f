// Which of today's BackupStorageLocations speaks for a repository, and what of it counts (docs/design/0004-trust.md). Locations are renamed,
// edited and moved; what a BackupRepository holds is what one said when the repository was made.

import type { BackupRepository, BackupStorageLocation } from '#shared/api/types.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import { claimNamespaceOf, isOpenTo } from './repository-claim.ts'
import { bucketOf, type Parameters, prefixOf, urlOf } from './repository-parameter-values.ts'
import { parametersFromLocation, parseRepositoryParameters } from './repository-parameters.ts'
import { isReadOnly } from './repository-use.ts'

type Map = Record<string, string>

/** What a BackupRepository says of its location. */
export type Recorded = {
  parameters: Map
  /** Of the location that its parameters name. */
  name: string
  /** Its parameters said the same as that location when it was made: they are the location's, and not a word of their own. */
  follows: boolean
  /** Of the repository that was opened as it; undefined: none was. */
  repositoryId: string | undefined
  /** The tenant whose claim it was made for; undefined: an operator's. */
  tenant: string | undefined
}

export type Present = {
  /** undefined: no location speaks for it. */
  location: BackupStorageLocation | undefined
  parameters: Map
  /**
   * What is there must be this very repository; undefined: none was ever opened. Also where bucket, prefix and endpoint are as they were: a
   * bucket's name belongs to an account, so other credentials, or another partition of AWS, make another bucket of it.
   */
  repositoryId: string | undefined
  /** Only a location's edit has led there. */
  isMoved: boolean
}

/** undefined: its parameters name no location and count as they are (by hand, the peer's). */
export function recordedOf(repository: BackupRepository, veleroNamespace: string): Recorded | undefined {
  const parameters: Map = repository.repopsitoryParameters ?? {}
  const { location } = parseRepositoryParameters(parameters)
  if (location === undefined) return undefined
  const namespace = claimNamespaceOf(repository) ?? veleroNamespace
  return {
    parameters,
    name: location,
    follows: followsLocation(repository),
    repositoryId: recordedId(repository),
    tenant: namespace === veleroNamespace ? undefined : namespace,
  }
}

/** Of the repository that was opened as it; undefined: none was. */
export function recordedId(repository: BackupRepository): string | undefined {
  const repositoryId: string = repository.status?.repositoryId ?? ''
  return repositoryId === '' ? undefined : repositoryId
}

export function followsLocation(repository: BackupRepository): boolean {
  const location: unknown = repository.status?.storageLocation ?? ''
  return location !== ''
}

/** Bucket, prefix and endpoint as one text: where to look, and no proof of what is there. TerminalError `RepositoryParametersInvalid`. */
export function placeOf(parameters: Parameters): string {
  return placeOfStore({ bucket: bucketOf(parameters), prefix: prefixOf(parameters), url: urlOf(parameters) })
}

/** The same of a store that was opened. */
export function placeOfStore({
  bucket,
  prefix,
  url,
}: {
  bucket: string
  prefix: string
  url: string | undefined
}): string {
  return JSON.stringify([bucket, prefix, url ?? ''])
}

/** false also for a location that cannot be used at all. */
export function pointsAt(location: BackupStorageLocation, place: string): boolean {
  try {
    return placeOf(parametersFromLocation(location)) === place
  } catch (error) {
    if (error instanceof DormouseError) return false
    throw error
  }
}

/** Each key says what the location says, of the same place. The Secret of the repository's key is no part of a location. */
export function saysTheSame({ encryptionSecretName: _, ...parameters }: Map, location: BackupStorageLocation): boolean {
  if (!pointsAt(location, placeOf(parameters))) return false
  const own = parametersFromLocation(location)
  return Object.entries(parameters).every(([key, value]) => own[key] === value)
}

/**
 * The named location while it points at the place; else another one that does: the location has a new name. Where there is none, a named
 * one that points elsewhere by now is followed, and has to lead to the same repository. `others`: asked for only when they are needed.
 */
export async function decidePresent(
  recorded: Recorded,
  named: BackupStorageLocation | undefined,
  others: () => Promise<BackupStorageLocation[]>,
): Promise<Present> {
  const { parameters, follows, repositoryId, tenant } = recorded
  const place = placeOf(parameters)
  if (named !== undefined && (!follows || pointsAt(named, place))) return present(recorded, named, false)
  const there = (await others()).filter((location) => pointsAt(location, place)).sort(byFitness(tenant))[0]
  if (there !== undefined) return present(recorded, there, false)
  if (named !== undefined) return present(recorded, named, true)
  return { location: undefined, parameters, repositoryId, isMoved: false }
}

/** TerminalError `RepositoryParametersInvalid`: it is followed, and cannot be used by now. */
function present(recorded: Recorded, location: BackupStorageLocation, isMoved: boolean): Present {
  const { follows, repositoryId } = recorded
  const own = recorded.parameters
  const parameters = follows ? parametersFromLocation(location, own['encryptionSecretName']) : own
  return { location, parameters, repositoryId, isMoved }
}

/** One that the tenant may use, then one that takes writes, then by name: always the same one. */
function byFitness(tenant: string | undefined) {
  const isClosed = (location: BackupStorageLocation) => Number(tenant !== undefined && !isOpenTo(location, tenant))
  return (a: BackupStorageLocation, b: BackupStorageLocation) =>
    isClosed(a) - isClosed(b) ||
    Number(isReadOnly(a)) - Number(isReadOnly(b)) ||
    (a.metadata.name < b.metadata.name ? -1 : 1)
}
