// Who may restore or delete a backup (docs/design/0004-trust.md). The decision uses only authenticated facts: a backup's sealed root, and
// objects that only operators can make. Ids in the spec, status, labels and annotations of a tenant's object are claims, not proofs.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isNamespaceName } from '#shared/api/names.ts'
import type { BackupRepository, Restore } from '#shared/api/types.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { BACKUP_ANNOTATION } from './velero.ts'

/** On an object in Velero's namespace: it acts with the rights of this namespace only, because its id came from there. */
export const ON_BEHALF_OF_ANNOTATION = 'dormouse.dev/on-behalf-of'
/**
 * On a BackupRepository (cluster-scoped, so an operator wrote it): ids of other clusters whose backups may be restored here, separated by
 * commas; `*`: any.
 */
export const OTHER_CLUSTERS_ANNOTATION = 'dormouse.dev/restore-from-clusters'

/** What a sealed root says about its origin. */
export type Origin = { clusterId: string; claim: string; backup?: string | undefined }

/**
 * On whose authority an object acts.
 * - `operator`: it is in Velero's namespace.
 * - `delegate`: it is there too, but was made from the objects of a namespace. `backup`: while Velero deletes that Backup.
 * - `tenant`: it is in any other namespace.
 */
export type Actor =
  | { kind: 'operator' }
  | { kind: 'delegate'; namespace: string; backup?: string }
  | { kind: 'tenant'; namespace: string }

export type Verdict = { allowed: true; by: string } | { allowed: false; why: string }

export function actorOf({ metadata }: KubeObject, veleroNamespace: string): Actor {
  const namespace = metadata.namespace ?? ''
  if (namespace !== veleroNamespace) return { kind: 'tenant', namespace }
  const onBehalfOf = metadata.annotations?.[ON_BEHALF_OF_ANNOTATION]
  if (onBehalfOf === undefined) return { kind: 'operator' }
  const backup = metadata.annotations?.[BACKUP_ANNOTATION] ?? ''
  return { kind: 'delegate', namespace: onBehalfOf, ...(backup === '' ? {} : { backup }) }
}

/** The namespace that a backup belongs to; undefined: its root names none, so only operators may use it. */
export function namespaceOf({ claim }: Pick<Origin, 'claim'>): string | undefined {
  const [namespace] = claim.split('/', 1)
  return isNamespaceName(namespace) ? namespace : undefined
}

/**
 * Operators may delete every backup. A tenant or a delegate may delete what its own namespace made in exactly this cluster. While Velero
 * deletes a Backup, the delegate may also delete what that namespace made for this Backup in another cluster: the ids, which come from the
 * bucket, reach no other backup.
 */
export function decideDeletion(actor: Actor, origin: Origin, clusterId: string): Verdict {
  if (actor.kind === 'operator') return { allowed: true, by: 'an object in the Velero namespace' }
  if (namespaceOf(origin) !== actor.namespace)
    return { allowed: false, why: `it is no backup of namespace ${actor.namespace}` }
  if (origin.clusterId === clusterId) return { allowed: true, by: 'the namespace that its root names' }
  if (actor.kind === 'delegate' && actor.backup !== undefined && origin.backup === actor.backup)
    return { allowed: true, by: `Backup ${actor.backup}, which its root names` }
  return { allowed: false, why: 'another cluster has made it: delete it there, or in the Velero namespace' }
}

type RestoreQuestion = {
  actor: Actor
  origin: Origin
  clusterId: string
  /** The BackupRepository that contains the backup. */
  repository: BackupRepository
  /** The Velero Restore that the object was made for: found by name in Velero's namespace, with the right UID and not over yet. */
  restore: Restore | undefined
}

/**
 * An operator may restore everything. Any other actor needs a backup of its own namespace, a Restore that maps it, or a repository that
 * names both namespaces.
 */
export function decideRestore({ actor, origin, clusterId, repository, restore }: RestoreQuestion): Verdict {
  if (actor.kind === 'operator') return { allowed: true, by: 'an object in the Velero namespace' }
  const { namespace } = actor
  const source = namespaceOf(origin)
  const isOfThisCluster = origin.clusterId === clusterId
  if (source === namespace && isOfThisCluster) return { allowed: true, by: 'the namespace that its root names' }
  if (restore !== undefined && isMappedBy(restore, origin, namespace))
    return { allowed: true, by: `Restore ${restore.metadata.name}` }
  if (source === undefined) return { allowed: false, why: 'its root names no namespace: only operators can restore it' }
  if (!isOfThisCluster && !trustsCluster(repository, origin.clusterId))
    return { allowed: false, why: whyNotTrusted(origin, repository) }
  const named: readonly unknown[] = repository.allowedNamespaces ?? []
  if (named.includes(source) && named.includes(namespace))
    return { allowed: true, by: `BackupRepository ${repository.metadata.name}` }
  return { allowed: false, why: whyNotNamed(source === namespace, origin, namespace, repository) }
}

function whyNotTrusted({ clusterId }: Origin, { metadata }: KubeObject): string {
  return `cluster "${clusterId}" has made it: restore it with Velero, or name that cluster in the annotation ${OTHER_CLUSTERS_ANNOTATION} of BackupRepository ${metadata.name}`
}

/** An empty list lets every namespace make backups, but does not allow restores of what other namespaces or clusters have made. */
function whyNotNamed(isOwn: boolean, { clusterId }: Origin, namespace: string, { metadata }: KubeObject): string {
  if (isOwn)
    return `cluster "${clusterId}" has made it: allowedNamespaces of BackupRepository ${metadata.name} must name ${namespace} itself, an empty list lets in no other cluster`
  return 'it is a backup of another namespace: restore it with Velero, or from a BackupRepository whose allowedNamespaces name both'
}

/** The root names the Backup, and the Restore uses that Backup and maps the root's namespace to this one. */
function isMappedBy(restore: Restore, origin: Origin, namespace: string): boolean {
  const source = namespaceOf(origin)
  const { backupName, namespaceMapping } = restore.spec ?? {}
  if (source === undefined || origin.backup === undefined || origin.backup === '' || origin.backup !== backupName)
    return false
  const mapping: Record<string, unknown> = namespaceMapping ?? {}
  return (Object.hasOwn(mapping, source) ? mapping[source] : source) === namespace
}

function trustsCluster({ metadata }: KubeObject, clusterId: string): boolean {
  const text = metadata.annotations?.[OTHER_CLUSTERS_ANNOTATION] ?? ''
  const ids = text
    .slice(0, 4096)
    .split(',')
    .map((id) => id.trim())
  return clusterId !== '' && (ids.includes('*') || ids.includes(clusterId))
}

/** Throws TerminalError `NotPermitted`. */
export function requirePermitted(verdict: Verdict, what: string): void {
  if (!verdict.allowed) throw new TerminalError('NotPermitted', `${what}: ${verdict.why}`)
}
