// The API server's paths of objects. Names are checked before they go into a URL.

import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { isNamespaceName, isObjectName } from '#shared/api/names.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { PageOptions } from '#shared/ports/cluster.ts'

export function objectPath(kind: KindName, namespace: string | undefined, name: string): string {
  if (!isObjectName(name)) throw invalid(kind, 'name', name)
  return `${collectionPath(kind, needNamespace(kind, namespace))}/${name}`
}

/** The path for creating an object. */
export function creationPath(kind: KindName, namespace: string | undefined): string {
  return collectionPath(kind, needNamespace(kind, namespace))
}

/** `token`: where the previous page ended. */
export function pagePath(kind: KindName, options: PageOptions, limit: number, token: string | undefined): string {
  const { namespace, labelSelector, notNamespaces = [] } = options
  for (const name of [namespace ?? 'any', ...notNamespaces])
    if (!isNamespaceName(name)) throw invalid(kind, 'namespace', name)
  const query = new URLSearchParams({ limit: String(limit) })
  if (labelSelector !== undefined) query.set('labelSelector', labelSelector)
  if (notNamespaces.length > 0)
    query.set('fieldSelector', notNamespaces.map((name) => `metadata.namespace!=${name}`).join(','))
  if (token !== undefined) query.set('continue', token)
  return `${collectionPath(kind, namespace)}?${query}`
}

function needNamespace(kind: KindName, namespace: string | undefined): string | undefined {
  if (!KINDS[kind].namespaced) return undefined
  if (!isNamespaceName(namespace)) throw invalid(kind, 'namespace', namespace)
  return namespace
}

function collectionPath(kind: KindName, namespace: string | undefined): string {
  const { apiVersion, plural, namespaced } = KINDS[kind]
  const root = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}` // the core group has a root of its own
  return namespaced && namespace !== undefined ? `${root}/namespaces/${namespace}/${plural}` : `${root}/${plural}`
}

function invalid(kind: KindName, field: string, value: unknown): TerminalError {
  return new TerminalError(
    'InvalidObject',
    `${kind}: ${field} ${JSON.stringify(value)} is none that Kubernetes accepts`,
  )
}
