// Marks an object with the fact that Velero has asked for the progress of its operation.

import type { KindName } from '#shared/api/kinds.ts'
import type { KindTypes } from '#shared/api/types.ts'
import { markOperation, operationMark } from '#shared/domain/velero.ts'
import type { ActionDeps } from './deps.ts'

/**
 * Velero polls an operation until it is over, and only operations that its backup holds. Call this before any answer is given:
 * the sweep removes an object that is not marked when the run has ended. If it throws, ConflictError too, no answer can be given yet.
 */
export async function noteKnown<Name extends KindName>(
  deps: ActionDeps,
  kind: Name,
  object: KindTypes[Name],
): Promise<void> {
  if (operationMark(object) !== 'requested') return
  await deps.cluster.patch(kind, object, { metadata: { annotations: markOperation('known') } })
}
