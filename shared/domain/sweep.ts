// Which unfinished objects the sweep wakes, and whether that is a rescue (an event was lost, a holder died) or was planned.

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

/** What else the sweep has read: to see that a waiting object's partner is done. */
export type Surroundings = {
  nowMs: number
  /** Due for less than this: its event may still be on the way. */
  graceMs: number
  /** Of the settings: no due time of ours is farther away than so many of these. */
  backoffUnitMs: number
  lease: Lease | undefined
  upload: Upload | undefined
  download: Download | undefined
  /** The Snapshot of an Upload, the CloneFromSnapshot of a Download. */
  owner?: Snapshot | CloneFromSnapshot | undefined
  /** What of these could not be read, so that its absence says nothing. */
  unread?: ReadonlySet<Unread>
}

/** `partner`: the Upload of a Snapshot, the Download of a CloneFromSnapshot. */
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
  // No label, a due step, or done although it is not over: its event was lost, once it had time to arrive.
  // Due in times to come: the clock that said so was ahead, and nobody can tell for how long it has been due.
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

/** Its volume changes hands: its phase was written by hand, and nobody else would end what was begun. */
function isHandedOver(object: SteppedObject, { download }: Surroundings): boolean {
  if (object.kind !== 'CloneFromSnapshot' || download === undefined) return false
  return isHandingOver(download) && isDownloadOf(download, object)
}

/** Its tenant can write a due time, too: one that is farther away than any of ours hides nothing. */
function decideDue(leftMs: number, longestMs: number): WakeDecision {
  if (leftMs <= 0) return { wake: true, cause: 'scheduled', why: 'its time has come' }
  if (leftMs > longestMs) return { wake: true, cause: 'rescue', why: 'it is due later than anything is' }
  return { wake: false, why: 'not due yet' }
}

/** Nothing else waits for a slot, whatever its label says. */
function isTransfer({ kind }: SteppedObject): boolean {
  return kind === 'Upload' || kind === 'Download'
}

/**
 * Cancel and deletion of a gated-out object are no event for anybody, so neither back-off nor queue hides them from the sweep. False
 * once its function has seen it: what is left then (a clean-up that fails) has a time of its own.
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
    // Gone without a word: the Snapshot's own function finds out what became of it.
    return around.upload === undefined || followUpload(seen.phase, seeUpload(around.upload).phase) !== seen.phase
  }
  if (object.kind === 'CloneFromSnapshot')
    // Gone without a word: the clone's own function makes it anew.
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

/** A slot's holder keeps it while its object transfers or is due to; not in back-off, not when it is over. */
export function keepsSlot(object: SteppedObject): boolean {
  const step = stepOf(object)
  return !isOver(object) && step !== 'waiting' && step !== 'queued'
}
