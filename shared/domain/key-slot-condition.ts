// The condition that reports damaged or planted key slots: if a recovery key is among them, it will not open the repository when it is
// needed.

import type { ConditionChange } from './conditions.ts'
import { firstFew } from './first-few.ts'

/** `damaged`: names of objects, sorted. */
export function keySlotCondition(damaged: readonly string[]): ConditionChange {
  if (damaged.length === 0)
    return {
      type: 'KeySlotDamaged',
      status: 'False',
      reason: 'KeySlotsIntact',
      message: 'each key slot is what was written',
    }
  const message = `${firstFew(damaged)}: damaged, put there by somebody without the repository key, or of a newer version; look whether a recovery key is among them before it is needed`
  return { type: 'KeySlotDamaged', status: 'True', reason: 'KeySlotDamaged', message }
}
