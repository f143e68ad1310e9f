// A volume whose backup was ended while it waited for a slot, as its time was over, keeps its place: else it might never have its turn.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { TransferObject, Upload } from '#shared/api/types.ts'
import { HOUR_MS } from '#shared/kernel/units.ts'
import { tenantOf } from './tenant.ts'

/** On an Upload: since when its disk waits for a transfer slot. RFC 3339; written when it is made, by who may write into Velero's namespace. */
export const WAITING_SINCE_ANNOTATION = 'dormouse.dev/waiting-since'
/** On an Upload: its disk. */
export const DISK_LABEL = 'dormouse.dev/disk'
/** On an Upload that has given its slot up between two slices: how many slices it had moved by then. */
export const STOOD_ASIDE_ANNOTATION = 'dormouse.dev/stood-aside'
/** Who was stopped sooner has not waited in vain: somebody changed their mind, or would like to be first. */
const LEAST_WAIT_MS = HOUR_MS
const LABEL_VALUE = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/
const WHOLE_SECONDS = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/

/** undefined: the id is no label's value, and nothing is remembered for that disk. */
export function diskLabel(fcdId: string): string | undefined {
  return LABEL_VALUE.test(fcdId) ? fcdId : undefined
}

/**
 * `earlier`: the Uploads of the disk that are on record. Since when it waits, when the last of them was cancelled before it had a slot, or after it
 * had given it up, and had waited for an hour; undefined: it does not wait.
 */
export function waitsSince(earlier: readonly Upload[]): string | undefined {
  const created = (upload: Upload) => upload.metadata.creationTimestamp ?? ''
  const last = earlier.toSorted((a, b) => (created(a) < created(b) ? -1 : 1)).at(-1)
  if (last === undefined) return undefined
  const { phase, slice, completionTimestamp } = last.status ?? {}
  const waitedMs = Date.parse(completionTimestamp ?? '') - Date.parse(created(last))
  if (phase !== 'Canceled' || !(waitedMs >= LEAST_WAIT_MS)) return undefined
  if (Number(slice ?? 0) === 0) return queuedSince(last)
  // It had its share, and stands behind those that had none.
  return hasStoodAside(last) ? created(last) : undefined
}

/** What the order of the queue goes by: its creation, or an earlier time since which its disk waits. */
export function queuedSince(object: KubeObject): string {
  const created = object.metadata.creationTimestamp ?? ''
  const since = object.metadata.annotations?.[WAITING_SINCE_ANNOTATION] ?? ''
  return WHOLE_SECONDS.test(since) && since < created ? since : created
}

function hasStoodAside({ metadata }: KubeObject): boolean {
  return metadata.annotations?.[STOOD_ASIDE_ANNOTATION] !== undefined
}

/** Its disk waited in vain before, or it has given its slot up to one that had. */
function waitsInVain(object: KubeObject): boolean {
  return hasStoodAside(object) || queuedSince(object) < (object.metadata.creationTimestamp ?? '')
}

/** Between two slices, the first of them moved since it was given its slot: who was given one moves a slice first. */
export function hasMovedASlice({ metadata, ...mover }: TransferObject): boolean {
  return Number(mover.status?.slice ?? 0) > Number(metadata.annotations?.[STOOD_ASIDE_ANNOTATION] ?? 0)
}

/** `slotsOf`: how many slots a namespace has now. */
export type Room = { waiting: readonly TransferObject[]; slotsOf: (tenant: string) => number }

/**
 * Whether `mover`, which has moved a slice, gives its slot up: to one that waits in vain, of its own namespace if that one has waited for longer, of
 * another one if that has fewer slots. So namespaces take turns slice by slice, and in each the oldest goes first.
 */
export function standsAside(mover: TransferObject, { waiting, slotsOf }: Room): boolean {
  if (!hasMovedASlice(mover)) return false
  const tenant = tenantOf(mover)
  return waiting.filter(waitsInVain).some((other) => {
    const theirs = tenantOf(other)
    return theirs === tenant ? queuedSince(other) < queuedSince(mover) : slotsOf(theirs) < slotsOf(tenant)
  })
}
