// Reads the time at which Velero abandons an operation from the object's annotation.

import type { KubeObject } from '#shared/api/kinds.ts'
import { DEADLINE_ANNOTATION, operationDeadline } from '#shared/domain/velero.ts'
import { type Log, objectText } from './deps.ts'

/** Epoch ms, or undefined if there is no deadline. An unreadable deadline counts as none and is logged. */
export function deadlineOf(log: Log, object: KubeObject): number | undefined {
  const deadline = operationDeadline(object)
  if (deadline !== 'unreadable') return deadline
  log.warn({}, `ignores the annotation ${DEADLINE_ANNOTATION} of ${objectText(object)}: it is no time in RFC 3339`)
  return undefined
}
