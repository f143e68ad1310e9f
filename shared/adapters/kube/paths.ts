// Where the API server serves an object. Names are checked before they go into a URL.

import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { isNamespaceName, isObjectName } from '#shared/api/names.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { ListOptions } from '#shared/ports/cluster.ts'

/** Objects per answer of a list; as kubectl asks for them. */
export const PAGE_LIMIT = 500

export function objectPath(kind: KindName, namespace: string | undefined, name: string): string {
  if (!isObjectName(name)) throw invalid(kind, 'name', name)
  return `${collectionPath(kind, needNamespace(kind, namespace))}/${name}`
}

/** Where an object is created. */
export function creationPath(kind: KindName, namespace: string | undefined): string {
  return collectionPath(kind, needNamespace(kind, namespace))
}

/** `next`: the continue token of the page before. `paged` false: everything in one answer. */
export function listPath(kind: KindName, options: ListOptions, next: string | undefined, paged: boolean): string {
  const { namespace, labelSelector } = options
  if (namespace !== undefined && !isNamespaceName(namespace)) throw invalid(kind, 'namespace', namespace)
  const query = new URLSearchParams()
  if (labelSelector !== undefined) query.set('labelSelector', labelSelector)
  if (paged) query.set('limit', String(PAGE_LIMIT))
  if (next !== undefined) query.set('continue', next)
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
