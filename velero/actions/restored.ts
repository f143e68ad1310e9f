// Answers that the RestoreItemActions share.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { RestoreExecuted, RestoreItemAction } from '../actions.ts'

/** Velero restores the item itself, or leaves it out. */
export function answered(item: KubeObject, { skipRestore = false } = {}): RestoreExecuted {
  return { item, additionalItems: [], skipRestore, operationId: '' }
}

/** For an action that has finished when it answers. */
export const WITHOUT_OPERATION: Pick<RestoreItemAction, 'progress' | 'cancel'> = {
  progress: async () => {
    throw new Error('this action starts no operation')
  },
  cancel: async () => {},
}
