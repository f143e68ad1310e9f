// Writes down on an object that Velero has asked how far its operation is.

import type { KindName } from '#shared/api/kinds.ts'
import type { KindTypes } from '#shared/api/types.ts'
import { markOperation, operationMark } from '#shared/domain/velero.ts'
import type { ActionDeps } from './deps.ts'

/**
 * Velero asks until an operation is over, and only for those that its backup holds. To be called before anything is answered: what is not
 * marked when the run has ended is removed by the sweep. An error, ConflictError too: nothing can be answered yet.
 */
export async function noteKnown<Name extends KindName>(
  deps: ActionDeps,
  kind: Name,
  object: KindTypes[Name],
): Promise<void> {
  if (operationMark(object) !== 'requested') return
  await deps.cluster.patch(kind, object, { metadata: { annotations: markOperation('known') } })
}
