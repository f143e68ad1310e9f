// In which order key slots are tried, and how far. Whoever can write the bucket can plant slots: what they cost together
// has a bound, and those come first that can hardly have been planted.

import { DEFAULT_SCRYPT, isPrivateKey, MOST_WORK_BYTES, slotWorkBytes, workBytes } from './key-slot.ts'
import type { KeySlot, ScryptCost } from './slot-fields.ts'

export type FoundSlot = {
  slotId: string
  slot: KeySlot
  /** By the store: nobody can plant what is older than the slot that the repository was made with. */
  modifiedMs: number
}

/** Dormouse writes slots of the default cost; what costs a few times as much waits until those were tried. */
const USUAL_WORK_BYTES = 4 * workBytes(DEFAULT_SCRYPT)

/**
 * As many as the whole work allows; what is left out is not tried at all. A recovery key has its turn however many passwords
 * there are: a private key's slots come first, and the oldest one of a passphrase has room of its own.
 */
export function planTrials(found: readonly FoundSlot[], secret: string): FoundSlot[] {
  const sorted = openableBy(found, secret).toSorted(
    (a, b) =>
      (isPrivateKey(secret) ? rankOf(b) - rankOf(a) : 0) ||
      Number(isDear(a)) - Number(isDear(b)) ||
      a.modifiedMs - b.modifiedMs ||
      rankOf(a) - rankOf(b),
  )
  const recovery = sorted.find((each) => each.slot.kind === 'recovery-passphrase' && !isDear(each))
  let leftBytes = MOST_WORK_BYTES
  return sorted.filter((each) => {
    if (each === recovery) return true
    const bytes = slotWorkBytes(each.slot)
    if (bytes === undefined || bytes > leftBytes) return false
    leftBytes -= bytes
    return true
  })
}

/** Only a private key opens what was wrapped for a public one. */
export function openableBy(found: readonly FoundSlot[], secret: string): readonly FoundSlot[] {
  return isPrivateKey(secret) ? found : found.filter(({ slot }) => slot.kind !== 'recovery-public-key')
}

/** Whether one more password, the youngest of all, would be tried. */
export function hasRoomForPassword(found: readonly FoundSlot[], cost: ScryptCost): boolean {
  const slot: KeySlot = { kind: 'password', scrypt: { ...cost, salt: '' }, wrapped: '' }
  const youngest = { slotId: '', slot, modifiedMs: Number.POSITIVE_INFINITY }
  return planTrials([...found, youngest], '').includes(youngest)
}

function isDear({ slot }: FoundSlot): boolean {
  return (slotWorkBytes(slot) ?? Number.POSITIVE_INFINITY) > USUAL_WORK_BYTES
}

/** Functions come with a password, and open a repository more often than people with a recovery key. */
function rankOf({ slot }: FoundSlot): number {
  return ['password', 'recovery-passphrase', 'recovery-public-key'].indexOf(slot.kind)
}
