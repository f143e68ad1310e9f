// What the objects that Velero's plugin makes say about their Backup or Restore, and the functions read. The labels are Velero's own.

import type { KubeObject } from '#shared/api/kinds.ts'

export const BACKUP_UID_LABEL = 'velero.io/backup-uid'
export const RESTORE_UID_LABEL = 'velero.io/restore-uid'

/** The names in full, which Velero's labels may cut. */
export const BACKUP_ANNOTATION = 'dormouse.dev/velero-backup'
export const RESTORE_ANNOTATION = 'dormouse.dev/velero-restore'

/** When Velero gives the operation up (RFC 3339). On a Snapshot, a CloneFromSnapshot, and the Upload that was made for a Snapshot. */
export const DEADLINE_ANNOTATION = 'dormouse.dev/operation-deadline'

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/

/** Epoch ms; undefined: it has none. Users can write annotations, so it may be nonsense. */
export function operationDeadline(object: KubeObject): number | 'unreadable' | undefined {
  const text = object.metadata.annotations?.[DEADLINE_ANNOTATION]
  if (text === undefined) return undefined
  const ms = RFC3339.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? 'unreadable' : ms
}
