// Which namespaces of its Backup a Restore of Velero brings back. It only narrows: what cannot be read here is left to the mapping.

import type { KubeObject } from '#shared/api/kinds.ts'

/** False: the Restore leaves that namespace of the backup out, so it proves nothing about it. */
export function coversNamespace(restore: KubeObject, namespace: string): boolean {
  const { includedNamespaces, excludedNamespaces } = restore['spec'] ?? {}
  const included = names(includedNamespaces)
  if (names(excludedNamespaces).includes(namespace)) return false
  return included.length === 0 || included.some((one) => includes(one, namespace))
}

/** The namespaces of the backup that it maps to this one. */
export function sourcesOf(restore: KubeObject, namespace: string): string[] {
  const mapping: Record<string, unknown> = restore['spec']?.namespaceMapping ?? {}
  const mapped = Object.keys(mapping).filter((source) => mapping[source] === namespace)
  return Object.hasOwn(mapping, namespace) ? mapped : [...mapped, namespace]
}

function names(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
}

/** Velero 1.18 knows patterns: stars are read, anything richer counts as a fit. */
function includes(pattern: string, namespace: string): boolean {
  if (/[?[\]{}]/.test(pattern)) return true
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
