// In which order key slots are tried, and how far. Whoever can write the bucket can plant slots: what they cost together
// has a bound, and those come first that can hardly have been planted.

import { DEFAULT_SCRYPT, type KeySlot, MOST_WORK_BYTES, slotWorkBytes, workBytes } from './key-slot.ts'

export type FoundSlot = {
  slotId: string
  slot: KeySlot
  /** By the store: nobody can plant what is older than the slot that the repository was made with. */
  modifiedMs: number
}

/** Dormouse writes slots of the default cost; what costs a few times as much waits until those were tried. */
const USUAL_WORK_BYTES = 4 * workBytes(DEFAULT_SCRYPT)

/** As many as the whole work allows; what is left out is not tried at all. */
export function planTrials(found: readonly FoundSlot[]): FoundSlot[] {
  const sorted = found.toSorted(
    (a, b) => Number(isDear(a)) - Number(isDear(b)) || a.modifiedMs - b.modifiedMs || rankOf(a) - rankOf(b),
  )
  let leftBytes = MOST_WORK_BYTES
  return sorted.filter(({ slot }) => {
    const bytes = slotWorkBytes(slot)
    if (bytes === undefined || bytes > leftBytes) return false
    leftBytes -= bytes
    return true
  })
}

function isDear({ slot }: FoundSlot): boolean {
  return (slotWorkBytes(slot) ?? Number.POSITIVE_INFINITY) > USUAL_WORK_BYTES
}

/** Functions come with a password, and open a repository more often than people with a recovery key. */
function rankOf({ slot }: FoundSlot): number {
  return ['password', 'recovery-passphrase', 'recovery-public-key'].indexOf(slot.kind)
}
