// Leases that a process holds for its work, for tests that wait until no process works any more.

import { TASK_LABEL } from '#shared/domain/task.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

/** The Leases of sweeps do not count: a sweep begins at any moment, whether or not other work is over. */
export function isHeldClaim({ metadata, ...lease }: LooseObject): boolean {
  return Boolean(lease['spec']?.holderIdentity) && metadata.labels?.[TASK_LABEL] === undefined
}
