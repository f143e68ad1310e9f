// Transfer slots, as many as there are movers: which object gets one, which waits, and what waiting objects report
// (docs/operations/waits.md).

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Lease } from '#shared/api/types.ts'
import { stepOf } from './step-label.ts'
import { tenantOf } from './tenant.ts'
import { queuedSince } from './waited-in-vain.ts'

export const SLOT_LABEL = 'dormouse.dev/slot'
/** On a slot's Lease: the namespaces that it served last, with times, so that another namespace gets the next turn. */
export const SERVED_ANNOTATION = 'dormouse.dev/served'
/** On a waiting object: `front` for the oldest few of its namespace, from which the next is chosen; `back` for the rest. */
export const QUEUE_LABEL = 'dormouse.dev/queue'
/** On a waiting object: the namespace that it is for. */
export const TENANT_LABEL = 'dormouse.dev/tenant'
/** Up to this many newly queued objects of one namespace are placed at the front. */
export const FRONT_SIZE = 8
const MOST_AT_FRONT = 64

export function slotName(index: number): string {
  return `dormouse-slot-${index}`
}

/** The Lease of a slot that has not been used yet. */
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

type SlotDecision = { kind: 'have' } | { kind: 'take'; index: number } | { kind: 'queue' }

/** `held`: holder of each slot, '' if free. While any object waits, a free slot is given by `nextInQueue` and cannot be taken. */
export function decideSlot(me: KubeObject, held: readonly string[], isQueueEmpty: boolean): SlotDecision {
  if (held.includes(slotHolder(me))) return { kind: 'have' }
  const index = held.indexOf('')
  return index >= 0 && isQueueEmpty ? { kind: 'take', index } : { kind: 'queue' }
}

/** The text stays the same while the object waits, so that the condition does not flap. */
export function queueReason(slots: number): string {
  return `waits for a transfer slot: all ${slots} (DORMOUSE_MOVERS) are in use or promised to other transfers; namespaces take turns, in each the oldest goes first`
}

/** When each namespace last got a slot. */
type Served = ReadonlyMap<string, number>

/**
 * The object that gets a slot next: the oldest one of the namespace that was served longest ago, or never. So a namespace with thousands of
 * waiting transfers delays each other namespace by a single turn.
 */
export function nextInQueue<Waiting extends KubeObject>(
  waiting: readonly Waiting[],
  served: Served,
): Waiting | undefined {
  const servedMs = (object: Waiting) => served.get(tenantOf(object)) ?? 0
  return [...waiting].sort((a, b) => servedMs(a) - servedMs(b) || (isOlder(a, b) ? -1 : 1))[0]
}

/**
 * The waiting objects of one namespace that come to the front next. The longer the queue, the more objects move at a time. The square root
 * of its length minimises the number of objects read: the front once per turn, and the whole queue once per front.
 */
export function frontOf<Waiting extends KubeObject>(waiting: readonly Waiting[]): Waiting[] {
  const size = Math.min(MOST_AT_FRONT, Math.max(FRONT_SIZE, Math.ceil(Math.sqrt(waiting.length))))
  return oldestFirst(waiting).slice(0, size)
}

export type Place<Waiting extends KubeObject> = {
  queue: 'front' | 'back'
  /** This object moves to the back instead. */
  makesWay?: Waiting
}

/**
 * Where a new object waits. `front`: the front of its namespace; `hasBack`: whether others of its namespace wait at the back. The object
 * does not overtake an older one of its namespace, except one that arrives at the same time: that one may end up behind a front of younger
 * ones.
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

/** Combines the annotations of several slots. Unreadable entries are ignored. */
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

/** The annotation after `tenant` was served, latest first. A namespace that is no longer in it was served before all those that are. */
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

/** Times have whole seconds; the UID breaks ties the same way everywhere. */
function ageKey(object: KubeObject): string {
  return `${queuedSince(object)} ${object.metadata.uid ?? ''}`
}
