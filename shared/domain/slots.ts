// Transfer slots: as many as movers. Who gets one, who waits, and what is said to those who wait (docs/operations/waits.md).

import type { KubeObject } from '#shared/api/kinds.ts'
import { stepOf } from './step-label.ts'
import { tenantOf } from './tenant.ts'

export const SLOT_LABEL = 'dormouse.dev/slot'
/** On a slot's Lease: the namespaces that it served last, with times, so that the next turn is another one's. */
export const SERVED_ANNOTATION = 'dormouse.dev/served'
/** On who waits: `front`, those of whom the next are chosen; `back`, the rest. */
export const QUEUE_LABEL = 'dormouse.dev/queue'
/** On who waits: the namespace that it is for. */
export const TENANT_LABEL = 'dormouse.dev/tenant'
/** So many are brought to the front at a time: then all of those who wait are read once for so many turns, not once for each. */
export const FRONT_SIZE = 16

export function slotName(index: number): string {
  return `dormouse-slot-${index}`
}

/** Names an object in a slot's holderIdentity: `Upload/<uid>`. */
export function slotHolder(object: KubeObject): string {
  return `${object.kind}/${object.metadata.uid}`
}

export type SlotDecision = { kind: 'have' } | { kind: 'take'; index: number } | { kind: 'queue' }

/** `held`: holder of each slot, '' when free. While anybody waits a free slot is not taken but given: see `nextInQueue`. */
export function decideSlot(me: KubeObject, held: readonly string[], isQueueEmpty: boolean): SlotDecision {
  if (held.includes(slotHolder(me))) return { kind: 'have' }
  const index = held.indexOf('')
  return index >= 0 && isQueueEmpty ? { kind: 'take', index } : { kind: 'queue' }
}

/** The same text for as long as it waits, so that the condition does not flap. */
export function queueReason(slots: number): string {
  return `waits for a transfer slot: all ${slots} (DORMOUSE_MOVERS) are in use or promised to other transfers; namespaces take turns, in each the oldest goes first`
}

/** When each namespace was given a slot last. */
export type Served = ReadonlyMap<string, number>

/**
 * Who gets a slot next: of the namespace that was served longest ago, or never, the oldest. So one that waits with thousands of
 * transfers delays each other one by a single turn.
 */
export function nextInQueue(waiting: readonly KubeObject[], served: Served): KubeObject | undefined {
  const servedMs = (object: KubeObject) => served.get(tenantOf(object)) ?? 0
  return [...waiting].sort((a, b) => servedMs(a) - servedMs(b) || (isOlder(a, b) ? -1 : 1))[0]
}

/** Those who come to the front: one of each namespace first, then the oldest ones in turns. */
export function frontOf(waiting: readonly KubeObject[], served: Served, size = FRONT_SIZE): KubeObject[] {
  const left = Map.groupBy(oldestFirst(waiting), tenantOf)
  const turns = new Map(served)
  const front: KubeObject[] = []
  const wanted = Math.max(size, Math.min(left.size, 4 * size))
  for (let turnMs = Math.max(0, ...served.values()) + 1; front.length < wanted; turnMs++) {
    const next = nextInQueue(
      [...left.values()].flatMap(([first]) => first ?? []),
      turns,
    )
    if (next === undefined) break
    front.push(next)
    left.get(tenantOf(next))?.shift()
    turns.set(tenantOf(next), turnMs)
  }
  return front
}

/** Whether who is to wait may do so at the front: it must not pass by older ones of its own namespace that stand at the back. */
export function standsInFront(
  me: KubeObject,
  front: readonly KubeObject[],
  back: { isEmpty: boolean; hasOfMine: boolean },
): boolean {
  const mine = front.filter((other) => tenantOf(other) === tenantOf(me))
  if (mine.some((other) => isOlder(me, other))) return true
  return back.isEmpty ? front.length < FRONT_SIZE || mine.length === 0 : !back.hasOfMine && mine.length === 0
}

const MOST_SERVED = 32

/** What is kept of several slots' annotations; nonsense is nobody's time. */
export function readServed(slots: readonly (KubeObject | undefined)[]): Map<string, number> {
  const served = new Map<string, number>()
  for (const slot of slots)
    for (const entry of (slot?.metadata.annotations?.[SERVED_ANNOTATION] ?? '').slice(0, 4096).split(',')) {
      const [tenant = '', time] = entry.split('=')
      const ms = Number(time)
      if (tenant !== '' && ms > (served.get(tenant) ?? 0)) served.set(tenant, ms)
    }
  return served
}

/** The annotation once `tenant` was served, the latest first. Who is no longer in it was served before all who are. */
export function servedText(served: Served, tenant: string, nowMs: number): string {
  const times = new Map(served).set(tenant, Math.max(nowMs, ...[...served.values()].map((ms) => ms + 1)))
  const latest = [...times].sort(([, a], [, b]) => b - a).slice(0, MOST_SERVED)
  return latest.map(([name, ms]) => `${name}=${ms}`).join(',')
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
