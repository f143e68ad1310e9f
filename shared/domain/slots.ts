// Transfer slots: as many as movers. Who gets one, who waits, and what is said to those who wait.

import type { KubeObject } from '#shared/api/kinds.ts'
import { stepOf } from './step-label.ts'

export const SLOT_LABEL = 'dormouse.dev/slot'

export function slotName(index: number): string {
  return `dormouse-slot-${index}`
}

/** Names an object in a slot's holderIdentity: `Upload/<uid>`. */
export function slotHolder(object: KubeObject): string {
  return `${object.kind}/${object.metadata.uid}`
}

export type SlotDecision =
  | { kind: 'have'; index: number }
  | { kind: 'take'; index: number }
  | { kind: 'queue'; why: string }

/** `held`: holder of each slot, '' when free; `queued`: the objects that wait, in any order. Older ones go first. */
export function decideSlot(me: KubeObject, held: readonly string[], queued: readonly KubeObject[]): SlotDecision {
  const mine = held.indexOf(slotHolder(me))
  if (mine >= 0) return { kind: 'have', index: mine }
  const free = held.flatMap((holder, index) => (holder === '' ? [index] : []))
  const older = queued.filter((other) => other.metadata.uid !== me.metadata.uid && isOlder(other, me))
  const index = free[older.length] // each older one that waits has a claim on a free slot before me
  if (index !== undefined) return { kind: 'take', index }
  return { kind: 'queue', why: queueReason(held.length) }
}

/** The same text for as long as it waits, so that the condition does not flap. */
export function queueReason(slots: number): string {
  return `waits for a transfer slot: all ${slots} (DORMOUSE_MOVERS) are in use or promised to older transfers; the oldest goes first`
}

export function oldestFirst(objects: readonly KubeObject[]): KubeObject[] {
  return [...objects].sort((a, b) => (isOlder(a, b) ? -1 : 1))
}

export function isQueued(object: KubeObject): boolean {
  return stepOf(object) === 'queued'
}

function isOlder(a: KubeObject, b: KubeObject): boolean {
  return ageKey(a) < ageKey(b)
}

/** Creation time has whole seconds; the UID settles what is left the same way everywhere. */
function ageKey(object: KubeObject): string {
  return `${object.metadata.creationTimestamp ?? ''} ${object.metadata.uid ?? ''}`
}
