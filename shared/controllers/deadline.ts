// The moment at which Velero gives an operation up, as an object says it.

import type { KubeObject } from '#shared/api/kinds.ts'
import { DEADLINE_ANNOTATION, operationDeadline } from '#shared/domain/velero.ts'
import { type Log, objectText } from './deps.ts'

/** Epoch ms; undefined: there is none. One that cannot be read is none, and the log says so. */
export function deadlineOf(log: Log, object: KubeObject): number | undefined {
  const deadline = operationDeadline(object)
  if (deadline !== 'unreadable') return deadline
  log.warn({}, `ignores the annotation ${DEADLINE_ANNOTATION} of ${objectText(object)}: it is no time in RFC 3339`)
  return undefined
}
