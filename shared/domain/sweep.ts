// Decides which unfinished objects the sweep wakes, and whether that is a rescue (an event was lost, a holder died) or was scheduled.

import type { CloneFromSnapshot, Download, Lease, Snapshot, SteppedObject, Upload } from '#shared/api/types.ts'
import { decideClone, isCloneOver, seeClone } from './clone.ts'
import { deletePhase, isDeleteOver } from './delete.ts'
import { decideDownload, isDownloadOver, seeDownload } from './download.ts'
import { leaseState } from './lease.ts'
import { decideSnapshot, followUpload, isSnapshotOver, seeSnapshot } from './snapshot.ts'
import { isHandingOver } from './staged-volume.ts'
import { isDownloadOf } from './staging.ts'
import { dueMs, hasDueTime, holdsFinalizer, isBeingDeleted, stepOf } from './step-label.ts'
import { decideUpload, isUploadOver, seeUpload } from './upload.ts'
import { longestWaitMs } from './waits.ts'

export type WakeDecision = { wake: false; why: string } | { wake: true; cause: 'rescue' | 'scheduled'; why: string }

/** What else the sweep has read, for example to see that the partner of a waiting object has ended. */
export type Surroundings = {
  nowMs: number
  /** An object that is due for less than this may still get its event. */
  graceMs: number
  /** From the settings: a legitimate due time is a limited number of these away. */
  backoffUnitMs: number
  lease: Lease | undefined
  upload: Upload | undefined
  download: Download | undefined
  /** The Snapshot of an Upload, or the CloneFromSnapshot of a Download. */
  owner?: Snapshot | CloneFromSnapshot | undefined
  /** Which of these could not be read, so that their absence says nothing. */
  unread?: ReadonlySet<Unread>
}

/** `partner`: the Upload of a Snapshot, or the Download of a CloneFromSnapshot. */
export type Unread = 'lease' | 'partner' | 'owner'

export function decideWake(object: SteppedObject, around: Surroundings): WakeDecision {
  const step = stepOf(object)
  const isEnded = isOver(object) && !isHandedOver(object, around)
  if (isEnded && step === 'done' && !(holdsFinalizer(object) && isBeingDeleted(object)))
    return { wake: false, why: 'over' }
  if (leaseState(around.lease, '', around.nowMs) === 'held') return { wake: false, why: 'held' }
  if (wantsNotice(object, around)) return { wake: true, cause: 'rescue', why: 'it asks to stop' }
  if (step === 'queued' && isTransfer(object)) return { wake: false, why: 'queued: a free slot gates it in' }
  if (step === 'waiting') return decideWaiting(object, around)
  if (step === 'running' && around.unread?.has('lease')) return { wake: false, why: 'nobody knows who holds it' }
  if (step === 'running') return { wake: true, cause: 'rescue', why: 'its holder is gone' }
  // The object has no label, is due, or is labelled done although it has not ended. Its event counts as lost once it had time to arrive. If
  // the due time is in the future, the clock that wrote it was ahead, and it is unknown since when the object has been due.
  return Math.abs(around.nowMs - dueMs(object)) >= around.graceMs
    ? { wake: true, cause: 'rescue', why: 'no event arrived' }
    : { wake: false, why: 'its event may still come' }
}

function decideWaiting(object: SteppedObject, around: Surroundings): WakeDecision {
  if (isOver(object)) return { wake: true, cause: 'rescue', why: 'it is over, its label does not say so yet' }
  if (hasDueTime(object))
    return decideDue(dueMs(object) - around.nowMs, longestWaitMs(object.kind, around.backoffUnitMs))
  return !around.unread?.has('partner') && partnerMoved(object, around)
    ? { wake: true, cause: 'rescue', why: 'what it waits for has moved on' }
    : { wake: false, why: 'waits for another object' }
}

/**
 * The volume of the clone is being handed over: a user wrote the clone's phase by hand, and only the clone function can finish the
 * hand-over.
 */
function isHandedOver(object: SteppedObject, { download }: Surroundings): boolean {
  if (object.kind !== 'CloneFromSnapshot' || download === undefined) return false
  return isHandingOver(download) && isDownloadOf(download, object)
}

/** A tenant can write a due time too. One that is later than any legitimate time does not hide the object. */
function decideDue(leftMs: number, longestMs: number): WakeDecision {
  if (leftMs <= 0) return { wake: true, cause: 'scheduled', why: 'its time has come' }
  if (leftMs > longestMs) return { wake: true, cause: 'rescue', why: 'it is due later than anything is' }
  return { wake: false, why: 'not due yet' }
}

/** Only transfers wait for a slot, whatever the label of another object says. */
function isTransfer({ kind }: SteppedObject): boolean {
  return kind === 'Upload' || kind === 'Download'
}

/**
 * A cancel or deletion of an object that its label keeps out of every selector causes no event, so neither back-off nor queue may hide it
 * from the sweep. False once the object's function has seen the request: what is left then (a clean-up that fails) has its own due time.
 */
function wantsNotice(object: SteppedObject, around: Surroundings): boolean {
  switch (object.kind) {
    case 'Snapshot': {
      const step = decideSnapshot(seeSnapshot(object))
      const isTold = around.upload?.spec?.uploadCancel === true
      return step.kind === 'cancel' || (step.kind === 'follow' && step.cancel && !isCanceling(object) && !isTold)
    }
    case 'CloneFromSnapshot':
      return !isCanceling(object) && decideClone(seeClone(object, around.download)).kind === 'abort'
    case 'Upload':
      return !isCanceling(object) && decideUpload(seeUpload(object, snapshotOf(around)), around.nowMs).kind === 'abort'
    case 'Download':
      return decideDownload(seeDownload(object, cloneOf(around)), around.nowMs).kind === 'cancel'
    case 'BackupRepositoryClaim':
      return isBeingDeleted(object)
    case 'DeleteSnapshot':
      return false
    default:
      object satisfies never
      return false
  }
}

function isCanceling({ status }: Snapshot | CloneFromSnapshot | Upload): boolean {
  return status?.phase === 'Canceling'
}

function snapshotOf({ owner }: Surroundings): Snapshot | undefined {
  return owner?.kind === 'Snapshot' ? owner : undefined
}

function cloneOf({ owner, unread }: Surroundings): CloneFromSnapshot | 'gone' | undefined {
  if (owner?.kind === 'CloneFromSnapshot') return owner
  return unread?.has('owner') ? undefined : 'gone'
}

function partnerMoved(object: SteppedObject, around: Surroundings): boolean {
  if (object.kind === 'Snapshot') {
    const seen = seeSnapshot(object)
    // The Upload is gone without a report: the snapshot function finds out what became of it.
    return around.upload === undefined || followUpload(seen.phase, seeUpload(around.upload).phase) !== seen.phase
  }
  if (object.kind === 'CloneFromSnapshot')
    // The Download is gone without a report: the clone function creates it again.
    return around.download === undefined || isDownloadOver(seeDownload(around.download).phase)
  return false
}

export function isOver(object: SteppedObject): boolean {
  switch (object.kind) {
    case 'Snapshot': {
      const seen = seeSnapshot(object)
      return isSnapshotOver(seen.phase, seen.localMode)
    }
    case 'CloneFromSnapshot':
      return isCloneOver(seeClone(object, undefined).phase)
    case 'DeleteSnapshot':
      return isDeleteOver(deletePhase(object))
    case 'Upload':
      return isUploadOver(seeUpload(object).phase)
    case 'Download':
      return isDownloadOver(seeDownload(object).phase)
    case 'BackupRepositoryClaim':
      return stepOf(object) === 'done'
    default:
      object satisfies never
      return true
  }
}

/** A holder keeps its slot while its object transfers or is due, but not in back-off and not after the end. */
export function keepsSlot(object: SteppedObject): boolean {
  const step = stepOf(object)
  return !isOver(object) && step !== 'waiting' && step !== 'queued'
}
