// What a Velero Restore brings back of its Backup: which namespaces, and whether it includes claims with their data. It can only narrow.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Backup, CloneFromSnapshot, Restore } from '#shared/api/types.ts'
import { cloneNamePrefix } from './velero.ts'

/**
 * False if the Restore brings back no claim's data. Also false if a selector chooses the claims and the clone does not have the name that
 * the plugin gives. The result of a selector cannot be judged here, because a tenant can write the stored labels.
 */
export function coversClaims(restore: Restore, clone: CloneFromSnapshot): boolean {
  const { restorePVs, includedResources, excludedResources, labelSelector, orLabelSelectors } = restore.spec ?? {}
  if (restorePVs === false || names(excludedResources).some(isClaims)) return false
  const included = names(includedResources)
  if (included.length > 0 && !included.some(isClaims)) return false
  const chooses = isSet(labelSelector) || isSet(orLabelSelectors)
  return !chooses || isPluginsName(clone, restore)
}

/** The forms that Velero's discovery accepts: plural, singular, short, with or without the group. */
const CLAIMS = /^(\*|(persistentvolumeclaims?|pvc)(\.|\.v1\.)?)$/i

function isClaims(resource: string): boolean {
  return CLAIMS.test(resource)
}

/** `{}` and `[]` select everything. */
function isSet(selector: unknown): boolean {
  return typeof selector === 'object' && selector !== null && Object.keys(selector).length > 0
}

function isPluginsName({ metadata }: KubeObject, restore: Restore): boolean {
  const { uid } = restore.metadata
  return uid !== undefined && metadata.name.startsWith(cloneNamePrefix(uid))
}

/** False: the Restore excludes that namespace of the backup, or may exclude it, so it proves nothing about it. */
export function coversNamespace(restore: Restore, namespace: string): boolean {
  const { includedNamespaces, excludedNamespaces } = restore.spec ?? {}
  const included = names(includedNamespaces)
  if (mayExclude(excludedNamespaces, namespace)) return false
  return included.length === 0 || included.some((one) => includes(one, namespace))
}

/**
 * Whether a Restore or Backup names exactly that namespace; `all`: it excludes none. A disk that no quota counts requires a statement about
 * this namespace, so a pattern of stars only names none, and more complex patterns are not interpreted here.
 */
export function reachOf(object: Backup | Restore, namespace: string): 'named' | 'all' | 'none' {
  const { includedNamespaces, excludedNamespaces } = object.spec ?? {}
  if (mayExclude(excludedNamespaces, namespace)) return 'none'
  const included = names(includedNamespaces)
  if (included.some((one) => !RICH.test(one) && !ALL.test(one) && includes(one, namespace))) return 'named'
  return included.length === 0 || included.some((one) => ALL.test(one)) ? 'all' : 'none'
}

/** True if the Restore maps that namespace of the backup to this one by name. */
export function mapsTo(restore: Restore, source: string, namespace: string): boolean {
  const mapping: Record<string, unknown> = restore.spec?.namespaceMapping ?? {}
  return Object.hasOwn(mapping, source) && mapping[source] === namespace
}

/** The namespaces of the backup that the Restore maps to this one. */
export function sourcesOf(restore: Restore, namespace: string): string[] {
  const mapping: Record<string, unknown> = restore.spec?.namespaceMapping ?? {}
  const mapped = Object.keys(mapping).filter((source) => mapping[source] === namespace)
  return Object.hasOwn(mapping, namespace) ? mapped : [...mapped, namespace]
}

function names(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
}

/** Whether Velero reads a pattern of this list depends on its version and on the other list. A doubt counts as an exclusion. */
function mayExclude(excluded: unknown, namespace: string): boolean {
  return names(excluded).some((one) => one.includes('\\') || includes(one, namespace))
}

const RICH = /[?[\]{}]/
const ALL = /^\*+$/

/** Velero 1.18 supports patterns: stars are interpreted, and a more complex pattern counts as a match. */
function includes(pattern: string, namespace: string): boolean {
  if (RICH.test(pattern)) return true
  const [head = '', ...parts] = pattern.split('*')
  if (parts.length === 0) return pattern === namespace
  const tail = parts.pop() ?? ''
  if (!namespace.startsWith(head)) return false
  let at = head.length
  for (const part of parts) {
    const found = namespace.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return namespace.length >= at + tail.length && namespace.endsWith(tail)
}
