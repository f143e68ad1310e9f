// Leases that somebody works under, for tests that look whether anybody still does.

import { TASK_LABEL } from '#shared/domain/task.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

/** A sweep, which begins at any moment, is no sign that work is not over. */
export function isHeldClaim({ metadata, ...lease }: LooseObject): boolean {
  return Boolean(lease['spec']?.holderIdentity) && metadata.labels?.[TASK_LABEL] === undefined
}
