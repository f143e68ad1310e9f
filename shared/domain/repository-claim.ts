// What a BackupRepositoryClaim may have (docs/design/0004-trust.md): an operator's what it says, a tenant's a BackupStorageLocation that
// an operator has opened to its namespace, with that location's settings.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isObjectName } from '#shared/api/names.ts'
import type { BackupRepository, BackupRepositoryClaim, BackupStorageLocation } from '#shared/api/types.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { actorOf } from './authority.ts'
import { type StoreRules, type StoreSpec, specOfRepository } from './store-rules.ts'

/** On a BackupStorageLocation in Velero's namespace: namespaces whose claims may refer to it, separated by commas; `*`: all. */
export const OPEN_TO_ANNOTATION = 'dormouse.dev/allowed-namespaces'
/** On a BackupRepository (cluster-scoped): the namespace whose claim it was made for. Velero's: its parameters are an operator's word. */
export const CLAIM_NAMESPACE_ANNOTATION = 'dormouse.dev/claim-namespace'

const MAX_LIST_CHARS = 64 * 1024
const UID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** What its BackupRepository holds. Never anything else of a tenant's claim: no annotation, no label, no condition. */
export type Terms = StoreSpec & {
  allowedNamespaces: string[]
  /** The parameters say what this location says, no more: its settings are followed from then on. undefined: they count as they are. */
  follows: string | undefined
}

/** The namespace with whose rights a claim acts; Velero's for an operator's. */
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

/** The location that a tenant's claim refers to. TerminalError `LocationNotAllowed`: it names none. */
export function locationOfTenant(claim: BackupRepositoryClaim, namespace: string): string {
  const name: unknown = claim.repopsitoryParameters?.['backupStorageLocation']
  if (isObjectName(name)) return name
  throw notAllowed('none', namespace)
}

/**
 * TerminalErrors `LocationNotAllowed` (the same for one that is not there, so that nobody learns which there are),
 * `NamespaceNotAllowed`, `ParametersNotAllowed`.
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

/** TerminalError `LocationNotAllowed`. For the log, an operator and the tenant alike: it holds nothing that the tenant did not write. */
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

/** The first by name is told, never the location's value. */
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

/** As a merge patch: what `wanted` does not have goes. undefined: they are equal. */
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

/** A name that Dormouse, or the Velero Plugin for vSphere, gives to what it makes for a claim. */
export function isNameForClaim(name: string): boolean {
  return name.startsWith('br-') && UID.test(name.slice(3))
}

/** The namespace whose claim it was made for; undefined: made by hand, or by an earlier version. */
export function claimNamespaceOf({ metadata }: KubeObject): string | undefined {
  return metadata.annotations?.[CLAIM_NAMESPACE_ANNOTATION]
}

/** `repository` has the name that this claim's has: was it made for this claim? One of an earlier version names only the claim. */
export function isMadeFor(repository: BackupRepository, claim: BackupRepositoryClaim, namespace: string): boolean {
  return (
    repository.metadata.name === repositoryNameOf(claim) &&
    repository.backupRepositoryClaim === claim.metadata.name &&
    (claimNamespaceOf(repository) ?? namespace) === namespace
  )
}
