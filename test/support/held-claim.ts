// Leases that somebody works under, for tests that look whether anybody still does.

import type { KubeObject } from '#shared/api/kinds.ts'
import { TASK_LABEL } from '#shared/domain/task.ts'

/** A sweep, which begins at any moment, is no sign that work is not over. */
export function isHeldClaim({ metadata, ...lease }: KubeObject): boolean {
  return Boolean(lease['spec']?.holderIdentity) && metadata.labels?.[TASK_LABEL] === undefined
}
