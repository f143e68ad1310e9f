// For which Backup or Restore of Velero an object was made, and whether anybody there still waits for it.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isObjectName } from '#shared/api/names.ts'
import type { Backup, Download, Restore, Snapshot, SteppedObject, Upload } from '#shared/api/types.ts'
import { asksToStop } from './cancel.ts'
import { isClaimSnapshotId } from './ids.ts'
import { isSnapshotWhole, seeSnapshot } from './snapshot.ts'
import { isBeingDeleted } from './step-label.ts'
import { isOver } from './sweep.ts'
import { BACKUP_ANNOTATION, BACKUP_UID_LABEL, operationMark, RESTORE_ANNOTATION, RESTORE_UID_LABEL } from './velero.ts'

export type VeleroOwner = { kind: 'Backup' | 'Restore'; name: string; uid: string }

export type Fate =
  /** It goes on, and reads what was made for it. */
  | { kind: 'open' }
  /** It has ended, and reads nothing any more. */
  | { kind: 'ended' }
  /** It is no backup or restore of anything, and stands there to say so. */
  | { kind: 'failed'; why: string }
  /** It went away, or is about to: what was made for it is of no use to anybody. */
  | { kind: 'lost'; why: string }
  /** It could not be read, which says nothing about it. */
  | { kind: 'unknown' }

/** undefined: Velero did not ask for it. Users can write labels and annotations: what names no object names nobody. */
export function veleroOwnerOf({ kind, metadata }: KubeObject): VeleroOwner | undefined {
  const { labels, annotations } = metadata
  if (kind === 'Snapshot') return named('Backup', annotations?.[BACKUP_ANNOTATION], labels?.[BACKUP_UID_LABEL])
  if (kind === 'CloneFromSnapshot')
    return named('Restore', annotations?.[RESTORE_ANNOTATION], labels?.[RESTORE_UID_LABEL])
  return undefined
}

function named(kind: VeleroOwner['kind'], name: unknown, uid: string | undefined): VeleroOwner | undefined {
  return isObjectName(name) && uid !== undefined && uid !== '' ? { kind, name, uid } : undefined
}

/** `found`: what stands under the owner's name; undefined: nothing does. Phases that are not known yet are no end. */
export function fateOf(found: Backup | Restore | undefined, { uid }: VeleroOwner): Fate {
  if (found === undefined) return { kind: 'lost', why: 'is gone' }
  if (found.metadata.uid !== uid) return { kind: 'lost', why: 'is gone, another one has its name' }
  if (isBeingDeleted(found)) return { kind: 'lost', why: 'is being deleted' }
  const phase = found.status?.phase
  switch (phase) {
    case 'Failed':
    case 'FailedValidation':
      return { kind: 'failed', why: `is ${phase}` }
    case 'Deleting':
      return { kind: 'lost', why: `is ${phase}` }
    case 'Completed':
    case 'PartiallyFailed':
      return { kind: 'ended' }
    default:
      return { kind: 'open' }
  }
}

/**
 * Unfinished, and not asked to stop yet: whether somebody still waits for it is worth a look. `upload`: that of a Snapshot. When it is over,
 * all that is left is to say so; when it is named and gone, the snapshot function finds out what became of it, which may be a whole backup.
 */
export function isAwaited(object: SteppedObject, upload: Upload | Download | undefined): boolean {
  if (isOver(object) || asksToStop(object)) return false
  const named = object.kind === 'Snapshot' ? object.status?.uploadName : undefined
  return upload === undefined ? (named ?? '') === '' : !isOver(upload)
}

/**
 * Why nobody waits for what is not finished; undefined: somebody does, or that is not known. Velero waits for an operation until it is over,
 * so that it has given up what is unfinished when it ends.
 */
export function whyAbandoned(fate: Fate): string | undefined {
  if (fate.kind === 'lost' || fate.kind === 'failed') return fate.why
  return fate.kind === 'ended' ? 'has ended without it' : undefined
}

/**
 * Whole data that no backup names. Not of a Backup that is gone: Velero may have found it in the bucket again, under another UID.
 */
export function isOrphanedBackup(snapshot: Snapshot, fate: Fate): boolean {
  return holdsUnasked(snapshot) && (fate.kind === 'ended' || fate.kind === 'failed')
}

/** Whole, and Velero has never asked about it: the Backup's fate is worth a look. */
export function holdsUnasked(snapshot: SteppedObject): snapshot is Snapshot {
  if (snapshot.kind !== 'Snapshot' || operationMark(snapshot) !== 'requested') return false
  return isSnapshotWhole(seeSnapshot(snapshot)) && isClaimSnapshotId(snapshot.status?.snapshotID)
}

/** Velero may ask for its end, and in Finalizing for what it has stored: its record has to stand until then. */
export function mayStillBeRead(fate: Fate): boolean {
  return fate.kind === 'open' || fate.kind === 'unknown'
}
