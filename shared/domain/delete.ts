// The DeleteSnapshot's states: stop the upload, remove the local snapshot, delete the backup from the repository.
//
//   New ──▶ InProgress ──▶ Completed | Failed

import {
  DELETE_SNAPSHOT_PHASES,
  type DeleteSnapshot,
  type DeleteSnapshotPhase,
  type UploadPhase,
} from '#shared/api/types.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import { isUploadOver } from './upload.ts'

export const DELETE_NEXT = {
  New: ['New', 'InProgress', 'Completed', 'Failed'],
  InProgress: ['InProgress', 'Completed', 'Failed'],
  Completed: [],
  Failed: [],
} as const satisfies Record<DeleteSnapshotPhase, readonly DeleteSnapshotPhase[]>

export type DeleteStep =
  | { kind: 'nothing'; why: string }
  /** An upload of this snapshot is still in progress: tell it to stop and wait for its end. */
  | { kind: 'stopUpload' }
  | { kind: 'remove' }

/** `upload`: the phase of the snapshot's Upload; undefined: there is none (any more). */
export function decideDelete(phase: DeleteSnapshotPhase, upload: UploadPhase | undefined): DeleteStep {
  switch (phase) {
    case 'Completed':
    case 'Failed':
      return { kind: 'nothing', why: `already ${phase}` }
    case 'New':
    case 'InProgress':
      return upload !== undefined && !isUploadOver(upload) ? { kind: 'stopUpload' } : { kind: 'remove' }
    default:
      return unreachable(phase)
  }
}

export function deletePhase(object: DeleteSnapshot): DeleteSnapshotPhase {
  const phase = object.status?.phase
  return DELETE_SNAPSHOT_PHASES.find((known) => known === phase) ?? 'New'
}

export function isDeleteOver(phase: DeleteSnapshotPhase): boolean {
  return DELETE_NEXT[phase].length === 0
}
