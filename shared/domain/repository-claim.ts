// The settings that a BackupRepositoryClaim may have (docs/design/0004-trust.md): an operator's claim gets what it says; a tenant's claim
// gets the settings of a BackupStorageLocation that an operator has opened to its namespace.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isObjectName } from '#shared/api/names.ts'
import type { BackupRepository, BackupRepositoryClaim, BackupStorageLocation } from '#shared/api/types.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { actorOf } from './authority.ts'
import { type StoreRules, type StoreSpec, specOfRepository } from './store-rules.ts'

/** On a BackupStorageLocation in Velero's namespace: namespaces whose claims may refer to it, separated by commas; `*`: all. */
export const OPEN_TO_ANNOTATION = 'dormouse.dev/allowed-namespaces'
/**
 * On a BackupRepository (cluster-scoped): the namespace of the claim that it was made for. If that is Velero's, its parameters come from an
 * operator.
 */
export const CLAIM_NAMESPACE_ANNOTATION = 'dormouse.dev/claim-namespace'

const MAX_LIST_CHARS = 64 * 1024
const UID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** The content of the claim's BackupRepository. Nothing else of a tenant's claim is copied: no annotation, no label, no condition. */
export type Terms = StoreSpec & {
  allowedNamespaces: string[]
  /**
   * The parameters are exactly those of this location, so its settings are followed from then on. undefined: the parameters count as they
   * are.
   */
  follows: string | undefined
}

/** The namespace whose rights a claim has; Velero's for an operator's claim. */
export function claimNamespace(claim: BackupRepositoryClaim, veleroNamespace: string): string {
  const actor = actorOf(claim, veleroNamespace)
  return actor.kind === 'operator' ? veleroNamespace : actor.namespace
}

export function termsOfOperator(claim: BackupRepositoryClaim, follows: string | undefined): Terms {
  return {
    ...specOfRepository(claim),
    follows,
    allowedNamespaces: claim.allowedNamespaces ?? [],
  }
}

/** The location that a tenant's claim refers to. Throws TerminalError `LocationNotAllowed` if it names none. */
export function locationOfTenant(claim: BackupRepositoryClaim, namespace: string): string {
  const name: unknown = claim.repopsitoryParameters?.['backupStorageLocation']
  if (isObjectName(name)) return name
  throw notAllowed('none', namespace)
}

/**
 * Throws TerminalErrors `NamespaceNotAllowed`, `ParametersNotAllowed` and `LocationNotAllowed`. The last is the same for a missing
 * location, so that a tenant cannot find out which locations exist.
 */
export function termsOfTenant(
  stores: StoreRules,
  claim: BackupRepositoryClaim,
  namespace: string,
  location: BackupStorageLocation | undefined,
): Terms {
  const name = locationOfTenant(claim, namespace)
  if (location === undefined || !isOpenTo(location, namespace)) throw notAllowed(name, namespace)
  requireOwnNamespace(claim.allowedNamespaces, namespace)
  const spec = stores.specOf(location)
  requireSame(claim.repopsitoryParameters ?? {}, spec.parameters)
  return { ...spec, allowedNamespaces: [namespace], follows: name }
}

export function isOpenTo({ metadata }: KubeObject, namespace: string): boolean {
  const text = metadata.annotations?.[OPEN_TO_ANNOTATION] ?? ''
  if (text.length > MAX_LIST_CHARS) return false
  const names = text.split(',').map((name) => name.trim())
  return namespace !== '' && (names.includes('*') || names.includes(namespace))
}

/** TerminalError `LocationNotAllowed`, for the log, the operator and the tenant alike: it contains only what the tenant wrote. */
export function notAllowed(location: string, namespace: string): TerminalError {
  return new TerminalError(
    'LocationNotAllowed',
    `BackupStorageLocation ${location} is not open to namespace ${namespace}: name one in repopsitoryParameters.backupStorageLocation ` +
      `that an operator has opened with the annotation ${OPEN_TO_ANNOTATION}`,
  )
}

function requireOwnNamespace(allowed: unknown, namespace: string): void {
  const names: unknown[] = Array.isArray(allowed) ? allowed : []
  if (names.every((name) => name === namespace)) return
  throw new TerminalError(
    'NamespaceNotAllowed',
    `a BackupRepositoryClaim in namespace ${namespace} is for that namespace alone: leave allowedNamespaces out, or write only ${namespace}`,
  )
}

/** The message names the first key that differs, never the location's value. */
function requireSame(given: Record<string, string>, own: Record<string, string>): void {
  const other = Object.keys(given)
    .sort()
    .find((key) => !Object.hasOwn(own, key) || own[key] !== given[key])
  if (other === undefined) return
  throw new TerminalError(
    'ParametersNotAllowed',
    `repopsitoryParameters ${JSON.stringify(other.slice(0, 80))} is not what the BackupStorageLocation says: leave it out, its settings are taken from there`,
  )
}

/** A merge patch that removes the keys missing in `wanted`. undefined: the parameters are equal. */
export function parametersChange(
  before: Record<string, string>,
  wanted: Record<string, string>,
): Record<string, string | null> | undefined {
  const gone = Object.keys(before).filter((key) => !Object.hasOwn(wanted, key))
  const isEqual = gone.length === 0 && Object.entries(wanted).every(([key, value]) => before[key] === value)
  return isEqual ? undefined : { ...Object.fromEntries(gone.map((key) => [key, null])), ...wanted }
}

export function repositoryNameOf(claim: BackupRepositoryClaim): string {
  return `br-${claim.metadata.uid}`
}

/** A name that Dormouse, or the Velero Plugin for vSphere, gives to an object that it makes for a claim. */
export function isNameForClaim(name: string): boolean {
  return name.startsWith('br-') && UID.test(name.slice(3))
}

/** The namespace of the claim that it was made for. undefined: it was made by hand, or by an earlier version. */
export function claimNamespaceOf({ metadata }: KubeObject): string | undefined {
  return metadata.annotations?.[CLAIM_NAMESPACE_ANNOTATION]
}

/**
 * Whether `repository`, which has the name for this claim, was made for it. A BackupRepository of an earlier version names only the claim.
 */
export function isMadeFor(repository: BackupRepository, claim: BackupRepositoryClaim, namespace: string): boolean {
  return (
    repository.metadata.name === repositoryNameOf(claim) &&
    repository.backupRepositoryClaim === claim.metadata.name &&
    (claimNamespaceOf(repository) ?? namespace) === namespace
  )
}
