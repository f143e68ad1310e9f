// Which Velero Backup or Restore an object was made for, and whether Velero still waits for it.

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
  /** It is in progress, and reads what was made for it. */
  | { kind: 'open' }
  /** It has ended, and reads nothing any more. */
  | { kind: 'ended' }
  /** It failed and contains no backup or restore; the object only reports this. */
  | { kind: 'failed'; why: string }
  /** It is gone or about to be deleted, so what was made for it is of no use. */
  | { kind: 'lost'; why: string }
  /** It could not be read, which says nothing about it. */
  | { kind: 'unknown' }

/** undefined: Velero did not ask for the object. Users can write labels and annotations, so invalid names count as none. */
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

/** `found`: the object that has the owner's name; undefined: there is none. An unknown phase does not count as an end. */
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
 * True if the object is unfinished and has not been asked to stop, so that it is worth checking whether Velero still waits for it.
 * `upload`: the Upload of a Snapshot. If it has ended, only the report is left. If it is named but gone, the snapshot function finds out
 * what became of it, which may be a complete backup.
 */
export function isAwaited(object: SteppedObject, upload: Upload | Download | undefined): boolean {
  if (isOver(object) || asksToStop(object)) return false
  const named = object.kind === 'Snapshot' ? object.status?.uploadName : undefined
  return upload === undefined ? (named ?? '') === '' : !isOver(upload)
}

/**
 * Why Velero no longer waits for unfinished work. undefined: Velero still waits, or this is unknown. Velero waits for an operation until it
 * is over, so when a Backup or Restore ends, it has abandoned all unfinished work.
 */
export function whyAbandoned(fate: Fate): string | undefined {
  if (fate.kind === 'lost' || fate.kind === 'failed') return fate.why
  return fate.kind === 'ended' ? 'has ended without it' : undefined
}

/**
 * True for complete data that no Backup names. False if the Backup is gone: Velero may have found it in the bucket again, under another
 * UID.
 */
export function isOrphanedBackup(snapshot: Snapshot, fate: Fate): boolean {
  return holdsUnasked(snapshot) && (fate.kind === 'ended' || fate.kind === 'failed')
}

/** The data is complete, and Velero has never asked about it: the Backup's fate is worth a check. */
export function holdsUnasked(snapshot: SteppedObject): snapshot is Snapshot {
  if (snapshot.kind !== 'Snapshot' || operationMark(snapshot) !== 'requested') return false
  return isSnapshotWhole(seeSnapshot(snapshot)) && isClaimSnapshotId(snapshot.status?.snapshotID)
}

/** Velero may still ask whether the work has ended and, in the phase Finalizing, what it has stored. The record must exist until then. */
export function mayStillBeRead(fate: Fate): boolean {
  return fate.kind === 'open' || fate.kind === 'unknown'
}
