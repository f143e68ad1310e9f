// The MAC of a key slot, under a key that is derived from the repository key. A process that has opened the repository with one slot can
// tell that another slot is damaged or was planted, long before that other slot is needed.

import { timingSafeEqual } from 'node:crypto'
import type { RepositoryKeys } from './repository-keys.ts'
import type { KeySlot } from './slot-fields.ts'
import { FORMAT_VERSION, SLOT_MARK } from './version.ts'

const MAC = /^[0-9a-f]{64}$/

/** The slot's object, with its MAC. */
export function encodeSlot(keys: RepositoryKeys, slotId: string, slot: KeySlot): Buffer {
  const covered = macText(slotId, slot)
  if (covered === undefined) throw new Error(`key slot ${slotId} has a field that no slot has`)
  const fields = { format: SLOT_MARK, version: FORMAT_VERSION, ...slot, mac: keys.slotMac(covered) }
  return Buffer.from(`${JSON.stringify(fields, undefined, 2)}\n`, 'utf8')
}

/** Whether the slot was written with the repository key. */
export function isSlotIntact(keys: RepositoryKeys, slotId: string, slot: KeySlot): boolean {
  const covered = macText(slotId, slot)
  if (covered === undefined || typeof slot.mac !== 'string' || !MAC.test(slot.mac)) return false
  return timingSafeEqual(Buffer.from(keys.slotMac(covered), 'hex'), Buffer.from(slot.mac, 'hex'))
}

/**
 * One line for each value. undefined: a value is not of its type, or contains a line end. Otherwise two slots could have the same lines.
 */
function macText(slotId: string, slot: KeySlot): string | undefined {
  const { numbers, texts } = wrappingOf(slot)
  const areTexts = [...texts, slot.wrapped].every((text) => typeof text === 'string' && !text.includes('\n'))
  if (!areTexts || !numbers.every((number) => Number.isSafeInteger(number))) return undefined
  return `${[SLOT_MARK, FORMAT_VERSION, slotId, slot.kind, ...numbers, ...texts, slot.wrapped].join('\n')}\n`
}

/** The values that unwrapping uses. A slot from the bucket may have any form. */
function wrappingOf(slot: KeySlot): { numbers: unknown[]; texts: unknown[] } {
  if (slot.kind !== 'recovery-public-key') {
    const { N, r, p, salt } = slot.scrypt ?? {}
    return { numbers: [N, r, p], texts: [salt] }
  }
  return { numbers: [], texts: 'ephemeral' in slot ? [slot.algorithm, slot.ephemeral] : [slot.algorithm] }
}
