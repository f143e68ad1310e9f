// Which of today's BackupStorageLocations speaks for a repository, and what of it counts (docs/design/0004-trust.md). Locations are renamed,
// edited and moved; what a BackupRepository holds is what one said when the repository was made.

import type { BackupRepository, BackupStorageLocation } from '#shared/api/types.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import { claimNamespaceOf, isOpenTo } from './repository-claim.ts'
import { isReadOnly } from './repository-use.ts'
import { type StoreRules, type StoreSpec, specOfRepository } from './store-rules.ts'

/** What a BackupRepository says of its location. */
export type Recorded = {
  spec: StoreSpec
  /** Of the location that its parameters name. */
  name: string
  /** Where it was, for people. */
  placeText: () => string
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
  spec: StoreSpec
  /**
   * What is there must be this very repository; undefined: none was ever opened. Also where the place is as it was: a bucket's name belongs
   * to an account, so that other credentials make another bucket of it.
   */
  repositoryId: string | undefined
  /** Only a location's edit has led there. */
  isMoved: boolean
}

/** undefined: its parameters name no location and count as they are (by hand, the Velero Plugin for vSphere's). */
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

/** Of the repository that was opened as it; undefined: none was. */
export function recordedId(repository: BackupRepository): string | undefined {
  const repositoryId: string = repository.status?.repositoryId ?? ''
  return repositoryId === '' ? undefined : repositoryId
}

export function followsLocation(repository: BackupRepository): boolean {
  const location: unknown = repository.status?.storageLocation ?? ''
  return location !== ''
}

/** false also for a location that cannot be used at all. */
function pointsAt(stores: StoreRules, location: BackupStorageLocation, place: string): boolean {
  try {
    return stores.placeOf(stores.specOf(location)) === place
  } catch (error) {
    if (error instanceof DormouseError) return false
    throw error
  }
}

/** Each key says what the location says, of the same place. The Secret of the repository's key is no part of a location. */
export function saysTheSame(stores: StoreRules, spec: StoreSpec, location: BackupStorageLocation): boolean {
  if (!pointsAt(stores, location, stores.placeOf(spec))) return false
  const { encryptionSecretName: _, ...parameters } = spec.parameters
  const own = stores.specOf(location)
  return own.driver === spec.driver && Object.entries(parameters).every(([key, value]) => own.parameters[key] === value)
}

/**
 * The named location while it points at the place; else another one that does: the location has a new name. Where there is none, a named
 * one that points elsewhere by now is followed, and has to lead to the same repository. `others`: asked for only when they are needed.
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

/** TerminalError `RepositoryParametersInvalid`: it is followed, and cannot be used by now. */
function present(stores: StoreRules, recorded: Recorded, location: BackupStorageLocation, isMoved: boolean): Present {
  const { follows, repositoryId } = recorded
  const own = recorded.spec
  const spec = follows ? stores.specOf(location, own.parameters['encryptionSecretName']) : own
  return { location, spec, repositoryId, isMoved }
}

/** One that the tenant may use, then one that takes writes, then by name: always the same one. */
function byFitness(tenant: string | undefined) {
  const isClosed = (location: BackupStorageLocation) => Number(tenant !== undefined && !isOpenTo(location, tenant))
  return (a: BackupStorageLocation, b: BackupStorageLocation) =>
    isClosed(a) - isClosed(b) ||
    Number(isReadOnly(a)) - Number(isReadOnly(b)) ||
    (a.metadata.name < b.metadata.name ? -1 : 1)
}
