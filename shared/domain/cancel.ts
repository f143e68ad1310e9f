// Whether an object must stop: on its own request or, for a transfer, on the request of the object that it was made for.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { CloneFromSnapshot, Snapshot, TransferObject } from '#shared/api/types.ts'
import { isDownloadOf } from './staging.ts'
import { isBeingDeleted } from './step-label.ts'

/** The field of `spec` by which each kind is cancelled. */
export const CANCEL_FIELDS = ['snapshotCancel', 'cloneCancel', 'uploadCancel', 'downloadCancel'] as const

export function asksToStop(object: KubeObject): boolean {
  const spec = (object.spec ?? {}) as Partial<Record<(typeof CANCEL_FIELDS)[number], unknown>>
  return isBeingDeleted(object) || CANCEL_FIELDS.some((field) => spec[field] === true)
}

/**
 * True if the Snapshot that this Upload was made for, or the CloneFromSnapshot that this Download was made for, asks to stop. While the
 * transfer runs, the label of that object keeps it out of every source's selector, so no other function would notice the request before the
 * sweep.
 */
export function ownerAsksToStop(transfer: TransferObject, owner: Snapshot | CloneFromSnapshot | undefined): boolean {
  if (owner === undefined) return false
  const isItsOwn =
    owner.kind === 'Snapshot' ? owner.status?.uploadName === transfer.metadata.name : isDownloadOf(transfer, owner)
  return isItsOwn && asksToStop(owner)
}
