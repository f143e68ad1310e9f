// Transfer slots: as many as movers. Who gets one, who waits, and what is said to those who wait (docs/operations/waits.md).

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Lease } from '#shared/api/types.ts'
import { stepOf } from './step-label.ts'
import { tenantOf } from './tenant.ts'
import { queuedSince } from './waited-in-vain.ts'

export const SLOT_LABEL = 'dormouse.dev/slot'
/** On a slot's Lease: the namespaces that it served last, with times, so that the next turn is another one's. */
export const SERVED_ANNOTATION = 'dormouse.dev/served'
/** On who waits: `front`, the oldest few of its namespace, of whom the next is chosen; `back`, the rest. */
export const QUEUE_LABEL = 'dormouse.dev/queue'
/** On who waits: the namespace that it is for. */
export const TENANT_LABEL = 'dormouse.dev/tenant'
/** Of one namespace so many stand at the front as they come. */
export const FRONT_SIZE = 8
const MOST_AT_FRONT = 64

export function slotName(index: number): string {
  return `dormouse-slot-${index}`
}

/** The Lease of a slot that nobody has had yet. */
export function newSlot(
  namespace: string,
  index: number,
  annotations: Record<string, string>,
  spec: NonNullable<Lease['spec']>,
): Lease {
  const labels = { [SLOT_LABEL]: String(index), 'app.kubernetes.io/part-of': 'dormouse' }
  const metadata = { name: slotName(index), namespace, labels, annotations }
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec }
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
export function nextInQueue<Waiting extends KubeObject>(
  waiting: readonly Waiting[],
  served: Served,
): Waiting | undefined {
  const servedMs = (object: Waiting) => served.get(tenantOf(object)) ?? 0
  return [...waiting].sort((a, b) => servedMs(a) - servedMs(b) || (isOlder(a, b) ? -1 : 1))[0]
}

/**
 * Who of one namespace comes to the front next. The more wait the more come at a time: the square root of their number makes what is read
 * for a turn, the front each time and all of them once for each front, least.
 */
export function frontOf<Waiting extends KubeObject>(waiting: readonly Waiting[]): Waiting[] {
  const size = Math.min(MOST_AT_FRONT, Math.max(FRONT_SIZE, Math.ceil(Math.sqrt(waiting.length))))
  return oldestFirst(waiting).slice(0, size)
}

export type Place<Waiting extends KubeObject> = {
  queue: 'front' | 'back'
  /** Goes to the back instead. */
  makesWay?: Waiting
}

/**
 * Where a newcomer waits. `front`: that of its namespace; `hasBack`: whether others of its namespace wait behind it. It passes by no older one of
 * the same namespace, but for those that come while it looks: they may find themselves behind a front of younger ones.
 */
export function placeOf<Waiting extends KubeObject>(
  me: KubeObject,
  front: readonly Waiting[],
  hasBack: boolean,
): Place<Waiting> {
  const youngest = oldestFirst(front).at(-1)
  if (youngest !== undefined && isOlder(me, youngest))
    return front.length < FRONT_SIZE ? { queue: 'front' } : { queue: 'front', makesWay: youngest }
  return { queue: front.length < FRONT_SIZE && !hasBack ? 'front' : 'back' }
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

/** The annotation once `tenant` was served, the latest first. A namespace that dropped out of it was served before every one that it still names. */
export function servedText(served: Served, tenant: string, nowMs: number): string {
  const times = new Map(served).set(tenant, Math.max(nowMs, ...[...served.values()].map((ms) => ms + 1)))
  const latest = [...times].sort(([, a], [, b]) => b - a).slice(0, MOST_SERVED)
  return latest.map(([name, ms]) => `${name}=${ms}`).join(',')
}

export function oldestFirst<Waiting extends KubeObject>(objects: readonly Waiting[]): Waiting[] {
  return [...objects].sort((a, b) => (isOlder(a, b) ? -1 : 1))
}

export function isQueued(object: KubeObject): boolean {
  return stepOf(object) === 'queued'
}

function isOlder(a: KubeObject, b: KubeObject): boolean {
  return ageKey(a) < ageKey(b)
}

/** Times have whole seconds; the UID settles what is left the same way everywhere. */
function ageKey(object: KubeObject): string {
  return `${queuedSince(object)} ${object.metadata.uid ?? ''}`
}
