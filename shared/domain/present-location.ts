// Decides which current BackupStorageLocation belongs to a repository, and which of its settings count (docs/design/0004-trust.md).
// Locations are renamed, edited and moved; a BackupRepository holds the settings of a location at the time when the repository was made.

import type { BackupRepository, BackupStorageLocation } from '#shared/api/types.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import { claimNamespaceOf, isOpenTo } from './repository-claim.ts'
import { isReadOnly } from './repository-use.ts'
import { type StoreRules, type StoreSpec, specOfRepository } from './store-rules.ts'

/** What a BackupRepository records about its location. */
export type Recorded = {
  spec: StoreSpec
  /** The name of the location in its parameters. */
  name: string
  /** Where the repository was, for people. */
  placeText: () => string
  /** Its parameters were the same as the location's when it was made, so they come from the location and are not settings of their own. */
  follows: boolean
  /** The id of the repository that was opened; undefined: none was. */
  repositoryId: string | undefined
  /** The tenant whose claim it was made for; undefined: an operator's. */
  tenant: string | undefined
}

export type Present = {
  /** undefined: no location belongs to the repository. */
  location: BackupStorageLocation | undefined
  spec: StoreSpec
  /**
   * The place must hold the repository with this id; undefined: none was ever opened. This also applies if the place is unchanged: a bucket
   * name belongs to an account, so other credentials can lead to another bucket with the same name.
   */
  repositoryId: string | undefined
  /** The place differs from the recorded one because the location was edited. */
  isMoved: boolean
}

/** undefined: its parameters name no location and count as they are (made by hand, or by the Velero Plugin for vSphere). */
export function recordedOf(
  stores: StoreRules,
  repository: BackupRepository,
  veleroNamespace: string,
): Recorded | undefined {
  const spec = specOfRepository(repository)
  const { location } = stores.parse(spec)
  if (location === undefined) return undefined
  const namespace = claimNamespaceOf(repository) ?? veleroNamespace
  return {
    spec,
    name: location,
    placeText: () => stores.placeText(spec),
    follows: followsLocation(repository),
    repositoryId: recordedId(repository),
    tenant: namespace === veleroNamespace ? undefined : namespace,
  }
}

/** The id of the repository that was opened; undefined: none was. */
export function recordedId(repository: BackupRepository): string | undefined {
  const repositoryId: string = repository.status?.repositoryId ?? ''
  return repositoryId === '' ? undefined : repositoryId
}

export function followsLocation(repository: BackupRepository): boolean {
  const location: unknown = repository.status?.storageLocation ?? ''
  return location !== ''
}

/** Also false for a location that cannot be used at all. */
function pointsAt(stores: StoreRules, location: BackupStorageLocation, place: string): boolean {
  try {
    return stores.placeOf(stores.specOf(location)) === place
  } catch (error) {
    if (error instanceof DormouseError) return false
    throw error
  }
}

/** Each key has the location's value, and both have the same place. The Secret of the repository's key is not part of a location. */
export function saysTheSame(stores: StoreRules, spec: StoreSpec, location: BackupStorageLocation): boolean {
  if (!pointsAt(stores, location, stores.placeOf(spec))) return false
  const { encryptionSecretName: _, ...parameters } = spec.parameters
  const own = stores.specOf(location)
  return own.driver === spec.driver && Object.entries(parameters).every(([key, value]) => own.parameters[key] === value)
}

/**
 * Returns the named location while it points at the place, else another location that does: the location was renamed. If there is none, a
 * named location that now points elsewhere is followed, and it must lead to the same repository. `others` is called only if it is needed.
 */
export async function decidePresent(
  stores: StoreRules,
  recorded: Recorded,
  named: BackupStorageLocation | undefined,
  others: () => Promise<BackupStorageLocation[]>,
): Promise<Present> {
  const { spec, follows, repositoryId, tenant } = recorded
  const place = stores.placeOf(spec)
  if (named !== undefined && (!follows || pointsAt(stores, named, place)))
    return present(stores, recorded, named, false)
  const there = (await others()).filter((location) => pointsAt(stores, location, place)).sort(byFitness(tenant))[0]
  if (there !== undefined) return present(stores, recorded, there, false)
  if (named !== undefined) return present(stores, recorded, named, true)
  return { location: undefined, spec, repositoryId, isMoved: false }
}

/** Throws TerminalError `RepositoryParametersInvalid` if the location is followed and can no longer be used. */
function present(stores: StoreRules, recorded: Recorded, location: BackupStorageLocation, isMoved: boolean): Present {
  const { follows, repositoryId } = recorded
  const own = recorded.spec
  const spec = follows ? stores.specOf(location, own.parameters['encryptionSecretName']) : own
  return { location, spec, repositoryId, isMoved }
}

/** Prefers a location that the tenant may use, then one that accepts writes, then the first by name, so the result is always the same. */
function byFitness(tenant: string | undefined) {
  const isClosed = (location: BackupStorageLocation) => Number(tenant !== undefined && !isOpenTo(location, tenant))
  return (a: BackupStorageLocation, b: BackupStorageLocation) =>
    isClosed(a) - isClosed(b) ||
    Number(isReadOnly(a)) - Number(isReadOnly(b)) ||
    (a.metadata.name < b.metadata.name ? -1 : 1)
}
