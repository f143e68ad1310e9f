// What the objects that Velero's plugin makes say about their Backup or Restore, and the functions read. The labels are Velero's own.

import type { KubeObject } from '#shared/api/kinds.ts'
import { TerminalError } from '#shared/kernel/errors.ts'

export const BACKUP_UID_LABEL = 'velero.io/backup-uid'
export const RESTORE_UID_LABEL = 'velero.io/restore-uid'

/** The names in full, which Velero's labels may cut. */
export const BACKUP_ANNOTATION = 'dormouse.dev/velero-backup'
export const RESTORE_ANNOTATION = 'dormouse.dev/velero-restore'

/** Labels of Velero (pkg/apis/velero/v1/labels_annotations.go), which the Velero Plugin for vSphere sets too. */
export const EXCLUDE_LABEL = 'velero.io/exclude-from-backup'
export const BACKUP_NAME_LABEL = 'velero.io/backup-name'

/**
 * On a Snapshot or CloneFromSnapshot that the plugin made, what Velero is known to know of it. `requested`: nothing yet; an action that dies
 * before it has answered leaves it so. `known`: Velero has asked how far it is, before which the plugin never says that it is over. So what is
 * still `requested` when the run has ended stands in no backup. `removed`: the sweep has asked for its deletion.
 */
export const OPERATION_ANNOTATION = 'dormouse.dev/velero-operation'
export type OperationMark = 'requested' | 'known' | 'removed'

/** undefined: it has none that is known. */
export function operationMark({ metadata }: KubeObject): OperationMark | undefined {
  const mark = metadata.annotations?.[OPERATION_ANNOTATION]
  return mark === 'requested' || mark === 'known' || mark === 'removed' ? mark : undefined
}

export function markOperation(mark: OperationMark): { [OPERATION_ANNOTATION]: OperationMark } {
  return { [OPERATION_ANNOTATION]: mark }
}

/** When Velero gives the operation up (RFC 3339). On a Snapshot, a CloneFromSnapshot, and the Upload that was made for a Snapshot. */
export const DEADLINE_ANNOTATION = 'dormouse.dev/operation-deadline'

/** The API server makes UUIDs; whatever else stands in a backup must not become part of a name. */
const UID = /^[0-9a-z][0-9a-z-]{0,62}[0-9a-z]$/

/** TerminalError `VeleroObjectInvalid`. */
export function requireUid(uid: unknown, whose: string): string {
  if (typeof uid === 'string' && UID.test(uid)) return uid
  throw new TerminalError(
    'VeleroObjectInvalid',
    `${whose} has the uid ${JSON.stringify(uid)?.slice(0, 80)}: it is no uid`,
  )
}

/** Of each CloneFromSnapshot that the plugin makes for a Restore: the UID of the stored claim follows. */
export function cloneNamePrefix(restoreUid: unknown): string {
  return `clone-${requireUid(restoreUid, 'the Restore')}-`
}

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/

/** Epoch ms; undefined: it has none. Users can write annotations, so it may be nonsense. */
export function operationDeadline(object: KubeObject): number | 'unreadable' | undefined {
  const text = object.metadata.annotations?.[DEADLINE_ANNOTATION]
  if (text === undefined) return undefined
  const ms = RFC3339.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? 'unreadable' : ms
}
