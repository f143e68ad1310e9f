// What the RestoreItemActions answer alike.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { RestoreExecuted, RestoreItemAction } from '../actions.ts'

/** Velero goes on with the item by itself, or leaves it out. */
export function answered(item: KubeObject, { skipRestore = false } = {}): RestoreExecuted {
  return { item, additionalItems: [], skipRestore, operationId: '' }
}

/** Of an action that has done all when it answers. */
export const WITHOUT_OPERATION: Pick<RestoreItemAction, 'progress' | 'cancel'> = {
  progress: async () => {
    throw new Error('this action starts no operation')
  },
  cancel: async () => {},
}
