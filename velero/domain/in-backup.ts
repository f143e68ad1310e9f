// Whether an object of an included namespace is itself in a Backup (Velero, pkg/backup/item_collector.go): by its resource, its labels,
// and the label that excludes any object.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Backup } from '#shared/api/types.ts'
import { meets, requirementOf } from '#shared/domain/node-affinity.ts'

const EXCLUDED = 'velero.io/exclude-from-backup'

type Selector = { matchLabels?: Record<string, string>; matchExpressions?: unknown[] }

/** `names`: the accepted spellings of the resource, in lower case. */
export function isInBackup(object: KubeObject, names: readonly string[], backup: Backup): boolean {
  const labels = object.metadata.labels ?? {}
  return labels[EXCLUDED] !== 'true' && includesResource(names, backup) && isSelected(labels, backup)
}

/** The older pair of lists, or the newer pair for namespaced resources: Velero refuses a Backup with both. */
function includesResource(names: readonly string[], backup: Backup): boolean {
  const spec = backup.spec ?? {}
  const isNamed = (list: unknown) =>
    Array.isArray(list) && list.some((each) => each === '*' || names.includes(String(each).toLowerCase()))
  const hasSome = (list: unknown) => Array.isArray(list) && list.length > 0
  const excluded = [spec.excludedResources, spec.excludedNamespaceScopedResources]
  const included = [spec.includedResources, spec.includedNamespaceScopedResources]
  return !excluded.some(isNamed) && included.every((list) => !hasSome(list) || isNamed(list))
}

function isSelected(labels: Record<string, string>, backup: Backup): boolean {
  const { labelSelector, orLabelSelectors } = backup.spec ?? {}
  const any: Selector[] = Array.isArray(orLabelSelectors) ? orLabelSelectors : []
  if (any.length > 0) return any.some((selector) => matches(selector, labels))
  return matches(labelSelector ?? {}, labels)
}

/** An expression that cannot be read selects nothing, so that no volume is left to File System Backup because of it. */
function matches({ matchLabels = {}, matchExpressions = [] }: Selector, labels: Record<string, string>): boolean {
  const value = (key: string) => (Object.hasOwn(labels, key) ? labels[key] : undefined)
  const isMet = (one: unknown) => {
    const requirement = requirementOf(one)
    return requirement !== undefined && meets(requirement, value(requirement.key))
  }
  return Object.entries(matchLabels).every(([key, wanted]) => value(key) === wanted) && matchExpressions.every(isMet)
}
