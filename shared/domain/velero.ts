// The labels and annotations by which objects of the Velero plugin name their Backup or Restore, as the functions read them. The labels are
// Velero's own.

import type { KubeObject } from '#shared/api/kinds.ts'
import { TerminalError } from '#shared/kernel/errors.ts'

export const BACKUP_UID_LABEL = 'velero.io/backup-uid'
export const RESTORE_UID_LABEL = 'velero.io/restore-uid'

/** The full names, which Velero's labels may truncate. */
export const BACKUP_ANNOTATION = 'dormouse.dev/velero-backup'
export const RESTORE_ANNOTATION = 'dormouse.dev/velero-restore'

/** Labels of Velero (pkg/apis/velero/v1/labels_annotations.go), which the Velero Plugin for vSphere sets too. */
export const EXCLUDE_LABEL = 'velero.io/exclude-from-backup'
export const BACKUP_NAME_LABEL = 'velero.io/backup-name'

/**
 * On a Snapshot or CloneFromSnapshot that the plugin made: how much of it Velero knows.
 * - `requested`: nothing yet. An action that dies before it has answered leaves this value.
 * - `known`: Velero has asked about the progress; the plugin never reports the end before that. So an object that is still `requested` when
 *   the run has ended is in no backup.
 * - `removed`: the sweep has requested its deletion.
 */
export const OPERATION_ANNOTATION = 'dormouse.dev/velero-operation'
type OperationMark = 'requested' | 'known' | 'removed'

/** undefined: there is no mark, or an unknown one. */
export function operationMark({ metadata }: KubeObject): OperationMark | undefined {
  const mark = metadata.annotations?.[OPERATION_ANNOTATION]
  return mark === 'requested' || mark === 'known' || mark === 'removed' ? mark : undefined
}

export function markOperation(mark: OperationMark): { [OPERATION_ANNOTATION]: OperationMark } {
  return { [OPERATION_ANNOTATION]: mark }
}

/** When Velero abandons the operation (RFC 3339). On a Snapshot, a CloneFromSnapshot, and the Upload that was made for a Snapshot. */
export const DEADLINE_ANNOTATION = 'dormouse.dev/operation-deadline'

/** The API server generates UUIDs. Any other text from a backup must not become part of a name. */
const UID = /^[0-9a-z][0-9a-z-]{0,62}[0-9a-z]$/

/** Throws TerminalError `VeleroObjectInvalid`. */
export function requireUid(uid: unknown, whose: string): string {
  if (typeof uid === 'string' && UID.test(uid)) return uid
  throw new TerminalError(
    'VeleroObjectInvalid',
    `${whose} has the uid ${JSON.stringify(uid)?.slice(0, 80)}: it is no uid`,
  )
}

/** The name prefix of each CloneFromSnapshot that the plugin makes for a Restore. The UID of the stored claim follows. */
export function cloneNamePrefix(restoreUid: unknown): string {
  return `clone-${requireUid(restoreUid, 'the Restore')}-`
}

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/

/** Epoch ms; undefined: there is no deadline. Users can write annotations, so the value may be unreadable. */
export function operationDeadline(object: KubeObject): number | 'unreadable' | undefined {
  const text = object.metadata.annotations?.[DEADLINE_ANNOTATION]
  if (text === undefined) return undefined
  const ms = RFC3339.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? 'unreadable' : ms
}
