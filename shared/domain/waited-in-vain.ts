// A volume whose backup ended while it waited for a slot, because the time was up, keeps its place in the queue. Otherwise it might never
// get a slot.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { TransferObject, Upload } from '#shared/api/types.ts'
import { HOUR_MS } from '#shared/kernel/units.ts'
import { tenantOf } from './tenant.ts'

/** On an Upload: since when its disk has waited for a transfer slot. RFC 3339. Written at creation by a writer in Velero's namespace. */
export const WAITING_SINCE_ANNOTATION = 'dormouse.dev/waiting-since'
/** On an Upload: its disk. */
export const DISK_LABEL = 'dormouse.dev/disk'
/** On an Upload that has given up its slot between two slices: how many slices it had moved by then. */
export const STOOD_ASIDE_ANNOTATION = 'dormouse.dev/stood-aside'
/** An upload that was stopped sooner keeps no place: its user changed their mind, or tries to get ahead in the queue. */
const LEAST_WAIT_MS = HOUR_MS
const LABEL_VALUE = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/
const WHOLE_SECONDS = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/

/** undefined: the id is not a valid label value, and no place is kept for that disk. */
export function diskLabel(fcdId: string): string | undefined {
  return LABEL_VALUE.test(fcdId) ? fcdId : undefined
}

/**
 * `earlier`: the recorded Uploads of the disk. Returns the time since which the disk has waited, if the last of them had waited for an hour
 * and was cancelled before it had a slot, or after it had given the slot up. undefined: the disk does not wait.
 */
export function waitsSince(earlier: readonly Upload[]): string | undefined {
  const created = (upload: Upload) => upload.metadata.creationTimestamp ?? ''
  const last = earlier.toSorted((a, b) => (created(a) < created(b) ? -1 : 1)).at(-1)
  if (last === undefined) return undefined
  const { phase, slice, completionTimestamp } = last.status ?? {}
  const waitedMs = Date.parse(completionTimestamp ?? '') - Date.parse(created(last))
  if (phase !== 'Canceled' || !(waitedMs >= LEAST_WAIT_MS)) return undefined
  if (Number(slice ?? 0) === 0) return queuedSince(last)
  // It had its share, so it waits behind disks that had none.
  return hasStoodAside(last) ? created(last) : undefined
}

/** The key for the order of the queue: the creation time, or an earlier time since which the disk has waited. */
export function queuedSince(object: KubeObject): string {
  const created = object.metadata.creationTimestamp ?? ''
  const since = object.metadata.annotations?.[WAITING_SINCE_ANNOTATION] ?? ''
  return WHOLE_SECONDS.test(since) && since < created ? since : created
}

function hasStoodAside({ metadata }: KubeObject): boolean {
  return metadata.annotations?.[STOOD_ASIDE_ANNOTATION] !== undefined
}

/** The disk waited in vain before, or it has given its slot up to a disk that had. */
function waitsInVain(object: KubeObject): boolean {
  return hasStoodAside(object) || queuedSince(object) < (object.metadata.creationTimestamp ?? '')
}

/** Whether the object has moved a slice since it got its slot: it moves at least one slice before it can give the slot up. */
export function hasMovedASlice({ metadata, ...mover }: TransferObject): boolean {
  return Number(mover.status?.slice ?? 0) > Number(metadata.annotations?.[STOOD_ASIDE_ANNOTATION] ?? 0)
}

/** `slotsOf`: how many slots a namespace has now. */
type Room = { waiting: readonly TransferObject[]; slotsOf: (tenant: string) => number }

/**
 * Whether `mover`, which has moved a slice, gives up its slot for an object that waits in vain: in the same namespace if that object has
 * waited longer, in another namespace if that one has fewer slots. So namespaces take turns slice by slice, and in each the oldest goes
 * first.
 */
export function standsAside(mover: TransferObject, { waiting, slotsOf }: Room): boolean {
  if (!hasMovedASlice(mover)) return false
  const tenant = tenantOf(mover)
  return waiting.filter(waitsInVain).some((other) => {
    const theirs = tenantOf(other)
    return theirs === tenant ? queuedSince(other) < queuedSince(mover) : slotsOf(theirs) < slotsOf(tenant)
  })
}
