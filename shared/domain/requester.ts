// For which Backup or Restore of Velero an object was made, and whether anybody there still waits for it.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isObjectName } from '#shared/api/names.ts'
import { asksToStop } from './cancel.ts'
import { isBeingDeleted } from './step-label.ts'
import { isOver } from './sweep.ts'
import { BACKUP_ANNOTATION, BACKUP_UID_LABEL, RESTORE_ANNOTATION, RESTORE_UID_LABEL } from './velero.ts'

export type Requester = { kind: 'Backup' | 'Restore'; name: string; uid: string }

export type Fate =
  /** It goes on, and reads what was made for it. */
  | { kind: 'open' }
  /** It has ended, and reads nothing any more. */
  | { kind: 'ended' }
  /** It failed or went away: what was made for it is of no use to anybody. */
  | { kind: 'lost'; why: string }
  /** It could not be read, which says nothing about it. */
  | { kind: 'unknown' }

/** undefined: Velero did not ask for it. Users can write labels and annotations: what names no object names nobody. */
export function requesterOf({ kind, metadata }: KubeObject): Requester | undefined {
  const { labels, annotations } = metadata
  if (kind === 'Snapshot') return named('Backup', annotations?.[BACKUP_ANNOTATION], labels?.[BACKUP_UID_LABEL])
  if (kind === 'CloneFromSnapshot')
    return named('Restore', annotations?.[RESTORE_ANNOTATION], labels?.[RESTORE_UID_LABEL])
  return undefined
}

function named(kind: Requester['kind'], name: unknown, uid: string | undefined): Requester | undefined {
  return isObjectName(name) && uid !== undefined && uid !== '' ? { kind, name, uid } : undefined
}

/** `found`: what stands under the requester's name; undefined: nothing does. Phases that are not known yet are no end. */
export function fateOf(found: KubeObject | undefined, { uid }: Requester): Fate {
  if (found === undefined) return { kind: 'lost', why: 'is gone' }
  if (found.metadata.uid !== uid) return { kind: 'lost', why: 'is gone, another one has its name' }
  if (isBeingDeleted(found)) return { kind: 'lost', why: 'is being deleted' }
  const phase = found['status']?.phase
  switch (phase) {
    case 'Failed':
    case 'FailedValidation':
    case 'Deleting':
      return { kind: 'lost', why: `is ${phase}` }
    case 'Completed':
    case 'PartiallyFailed':
      return { kind: 'ended' }
    default:
      return { kind: 'open' }
  }
}

/** Unfinished, and not asked to stop yet: whether somebody still waits for it is worth a look. */
export function isAwaited(object: KubeObject): boolean {
  return !isOver(object) && !asksToStop(object)
}

/** Velero may ask for its end, and in Finalizing for what it has stored: its record has to stand until then. */
export function mayStillBeRead(fate: Fate): boolean {
  return fate.kind === 'open' || fate.kind === 'unknown'
}
