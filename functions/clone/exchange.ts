// Exchanges a staged disk that is too small for its backup for one of the backup's size. The size in a claim is only a minimum, so the
// original claim may have been bound to a larger volume. The backup's size is in its root, which the download function has opened.

import type { CloneFromSnapshot, Download, PersistentVolumeClaim } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { pollUntil } from '#shared/controllers/poll.ts'
import { markedVolumes } from '#shared/controllers/restored-disk.ts'
import type { WorkLease } from '#shared/controllers/work-lease.ts'
import { neededBytes } from '#shared/domain/backed-up.ts'
import { sizeText } from '#shared/domain/progress.ts'
import { awaitedVolumeName } from '#shared/domain/restored-volume.ts'
import { stagedVolumeOf } from '#shared/domain/staged-volume.ts'
import { asksForBytes } from '#shared/domain/staging.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { removeStaged } from './leftovers.ts'
import { awaitStagingGone } from './staging-claim.ts'
import { isClaimOfRestore } from './vouch.ts'

/**
 * Returns the model claim for the disk, with at least the size that the Download needs. A waiting claim keeps its own request, so the quota
 * would count less than the disk: TerminalError `TargetTooSmall`, unless an operator vouches for the restore.
 */
export async function largeEnough(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  model: PersistentVolumeClaim,
  tried: Download | undefined,
): Promise<PersistentVolumeClaim> {
  const bytes = neededBytes(tried)
  if (tried === undefined || bytes === undefined) return model
  const wanted = asksForBytes(model, bytes)
  const isCounted = wanted === model || awaitedVolumeName(clone) === undefined
  if (isCounted || (await isClaimOfRestore(deps, clone, model, tried))) return wanted
  throw new TerminalError(
    'TargetTooSmall',
    `the claim asks for less than the backup's size (${sizeText(bytes)}), and no open Restore of Velero brings back this very claim: ask for as much`,
  )
}

/**
 * Removes the smaller disk that `tried` was made for. Returns the staging claim that remains: the larger one, from an earlier run. Throws
 * TerminalError `TargetTooSmall` if the disk was exchanged already and the new one is too small again.
 */
export async function seeOffSmaller(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  staging: PersistentVolumeClaim | undefined,
  tried: Download,
  until: Pick<WorkLease, 'signal'>,
): Promise<PersistentVolumeClaim | undefined> {
  const first = stagedVolumeOf(tried)
  if (staging !== undefined && staging.metadata.uid !== first?.claimUID) return staging
  if (first?.exchanged === true) throw stillTooSmall(tried)
  await removeStaged(deps, clone, until)
  await awaitStagingGone(deps, clone, until, first?.namespace)
  const isGone = async () => (await markedVolumes(deps, clone)).length === 0
  if (await pollUntil(deps, until, isGone)) return undefined
  throw new RetryableError(
    'VolumeObjectStays',
    `the disk that is too small for the backup is deleted, but its PersistentVolume is not gone: which of its finalizers holds it?`,
  )
}

/** The disk is exchanged only once: a provisioner that makes disks smaller than requested would do so every time. */
function stillTooSmall(tried: Download): TerminalError {
  const needed = sizeText(neededBytes(tried) ?? 0)
  return new TerminalError(
    'TargetTooSmall',
    `a disk of the backup's size (${needed}) was asked for, and a smaller one was made: look at the StorageClass, at what changes claims when they are created, and at the CSI driver's log`,
  )
}
