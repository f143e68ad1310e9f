// A volume whose backup was ended while it waited for a slot, as its time was over, keeps its place: else it might never have its turn.

import type { KubeObject } from '#shared/api/kinds.ts'
import { HOUR_MS } from '#shared/kernel/units.ts'

/** On an Upload: since when its disk waits for a transfer slot. RFC 3339; written when it is made, by who may write into Velero's namespace. */
export const WAITING_SINCE_ANNOTATION = 'dormouse.dev/waiting-since'
/** On an Upload: its disk. */
export const DISK_LABEL = 'dormouse.dev/disk'
/** Who was stopped sooner has not waited in vain: somebody changed their mind, or would like to be first. */
const LEAST_WAIT_MS = HOUR_MS
const LABEL_VALUE = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/
const WHOLE_SECONDS = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/

/** undefined: the id is no label's value, and nothing is remembered for that disk. */
export function diskLabel(fcdId: string): string | undefined {
  return LABEL_VALUE.test(fcdId) ? fcdId : undefined
}

/**
 * `earlier`: the Uploads of the disk that are on record. Since when it waits, when the last of them was cancelled before it had a slot and
 * had waited for an hour; undefined: it does not wait.
 */
export function waitsSince(earlier: readonly KubeObject[]): string | undefined {
  const created = (upload: KubeObject) => upload.metadata.creationTimestamp ?? ''
  const last = earlier.toSorted((a, b) => (created(a) < created(b) ? -1 : 1)).at(-1)
  if (last === undefined) return undefined
  const { phase, slice, completionTimestamp } = last['status'] ?? {}
  const waitedMs = Date.parse(completionTimestamp ?? '') - Date.parse(created(last))
  const wasInVain = phase === 'Canceled' && Number(slice ?? 0) === 0 && waitedMs >= LEAST_WAIT_MS
  return wasInVain ? queuedSince(last) : undefined
}

/** What the order of the queue goes by: its creation, or an earlier time since which its disk waits. */
export function queuedSince(object: KubeObject): string {
  const created = object.metadata.creationTimestamp ?? ''
  const since = object.metadata.annotations?.[WAITING_SINCE_ANNOTATION] ?? ''
  return WHOLE_SECONDS.test(since) && since < created ? since : created
}

/** Whether one of those who wait has done so in vain before, and for longer than `mover`, which has a slot. */
export function hasWaitedLonger(mover: KubeObject, waiting: readonly KubeObject[]): boolean {
  return waiting.some((other) => {
    const since = queuedSince(other)
    return since < (other.metadata.creationTimestamp ?? '') && since < queuedSince(mover)
  })
}
