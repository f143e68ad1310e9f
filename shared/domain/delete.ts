// The DeleteSnapshot's states: stop the upload, remove the local snapshot, forget the backup in the repository.
//
//   New ──▶ InProgress ──▶ Completed | Failed

import type { KubeObject } from '#shared/api/kinds.ts'
import { unreachable } from '#shared/kernel/unreachable.ts'
import { isUploadOver, type UploadPhase } from './upload.ts'

export const DELETE_PHASES = ['New', 'InProgress', 'Completed', 'Failed'] as const
export type DeletePhase = (typeof DELETE_PHASES)[number]

export const DELETE_NEXT = {
  New: ['New', 'InProgress', 'Completed', 'Failed'],
  InProgress: ['InProgress', 'Completed', 'Failed'],
  Completed: [],
  Failed: [],
} as const satisfies Record<DeletePhase, readonly DeletePhase[]>

export type DeleteStep =
  | { kind: 'nothing'; why: string }
  /** An upload of this snapshot is still going: tell it to stop and wait for its end. */
  | { kind: 'stopUpload' }
  | { kind: 'remove' }

/** `upload`: the phase of the snapshot's Upload; undefined: there is none (any more). */
export function decideDelete(phase: DeletePhase, upload: UploadPhase | undefined): DeleteStep {
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

export function deletePhase(object: KubeObject): DeletePhase {
  const phase = object['status']?.phase
  return DELETE_PHASES.includes(phase) ? phase : 'New'
}

export function isDeleteOver(phase: DeletePhase): boolean {
  return DELETE_NEXT[phase].length === 0
}
