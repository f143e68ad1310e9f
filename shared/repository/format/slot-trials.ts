// In which order key slots are tried, and how many. An attacker who can write to the bucket can plant slots: so their total work is
// bounded, and the slots that can hardly have been planted come first.

import { DEFAULT_SCRYPT, isPrivateKey, MOST_WORK_BYTES, slotWorkBytes, workBytes } from './key-slot.ts'
import type { KeySlot, ScryptCost } from './slot-fields.ts'

export type FoundSlot = {
  slotId: string
  slot: KeySlot
  /** By the store's clock: a planted slot cannot be older than the slot that the repository was created with. */
  modifiedMs: number
}

/** Dormouse writes slots of the default cost. Slots that cost more than a few times as much are tried after all others. */
const USUAL_WORK_BYTES = 4 * workBytes(DEFAULT_SCRYPT)

/**
 * As many slots as the total work allows; the others are not tried at all. A recovery key is tried however many passwords there are: with
 * a private key, public-key slots come first, and the oldest slot of a recovery passphrase does not count towards the total.
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

/** Only a private key opens a slot that was wrapped for a public key. */
export function openableBy(found: readonly FoundSlot[], secret: string): readonly FoundSlot[] {
  return isPrivateKey(secret) ? found : found.filter(({ slot }) => slot.kind !== 'recovery-public-key')
}

/** Whether one more password, whose slot would be the youngest, would be tried. */
export function hasRoomForPassword(found: readonly FoundSlot[], cost: ScryptCost): boolean {
  const slot: KeySlot = { kind: 'password', scrypt: { ...cost, salt: '' }, wrapped: '' }
  const youngest = { slotId: '', slot, modifiedMs: Number.POSITIVE_INFINITY }
  return planTrials([...found, youngest], '').includes(youngest)
}

function isDear({ slot }: FoundSlot): boolean {
  return (slotWorkBytes(slot) ?? Number.POSITIVE_INFINITY) > USUAL_WORK_BYTES
}

/** Functions use a password, and open a repository more often than people with a recovery key do. */
function rankOf({ slot }: FoundSlot): number {
  return ['password', 'recovery-passphrase', 'recovery-public-key'].indexOf(slot.kind)
}
