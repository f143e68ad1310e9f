// Who asks for an end: an object by itself, or for a transfer also the object that it was made for.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { CloneFromSnapshot, Snapshot, TransferObject } from '#shared/api/types.ts'
import { isDownloadOf } from './staging.ts'
import { isBeingDeleted } from './step-label.ts'

const CANCEL_FIELDS = ['snapshotCancel', 'cloneCancel', 'uploadCancel', 'downloadCancel'] as const

export function asksToStop(object: KubeObject): boolean {
  const spec = (object.spec ?? {}) as Partial<Record<(typeof CANCEL_FIELDS)[number], unknown>>
  return isBeingDeleted(object) || CANCEL_FIELDS.some((field) => spec[field] === true)
}

/**
 * True when the Snapshot that this Upload, or the CloneFromSnapshot that this Download was made for asks to stop. Its label keeps
 * it out of every source's selector while the transfer is at work, so that nobody else would hear of it before the sweep.
 */
export function ownerAsksToStop(transfer: TransferObject, owner: Snapshot | CloneFromSnapshot | undefined): boolean {
  if (owner === undefined) return false
  const isItsOwn =
    owner.kind === 'Snapshot' ? owner.status?.uploadName === transfer.metadata.name : isDownloadOf(transfer, owner)
  return isItsOwn && asksToStop(owner)
}
