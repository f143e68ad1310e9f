// The hand-over moves the filled volume from the staging claim to the claim that the user asked for
// (docs/design/0004-trust.md#a-restore-takes-nothing-that-was-there-before). Its plan is recorded on the Download before anything is taken
// away. Each part first looks at what exists, so another run can continue after a run that died.

import type { CloneFromSnapshot, Download, PersistentVolumeClaim } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import type { WorkLease } from '#shared/controllers/work-lease.ts'
import { leaseName, leaseState } from '#shared/domain/lease.ts'
import { awaitedVolumeName } from '#shared/domain/restored-volume.ts'
import {
  formatHandOver,
  HAND_OVER_ANNOTATION,
  HAND_OVER_DEADLINE_MS,
  type HandOver,
  handOverOf,
  isHandOverLate,
  type StagedVolume,
  stagedVolumeOf,
} from '#shared/domain/staged-volume.ts'
import { isBeingDeleted, withFinalizer } from '#shared/domain/step-label.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import { bindExistingClaim, planFor } from './bind-existing-claim.ts'
import { bindNewClaim } from './bind-new-claim.ts'
import { requireSameClaim } from './download.ts'
import { isRefusal } from './patience.ts'
import type { Disk } from './volume.ts'

/**
 * `read` returns the claim that a clone stores. It is called only where the claim is needed, and only if the claim is unchanged since the
 * disk was made.
 */
export async function handOver(
  deps: StepDeps,
  lease: WorkLease<'CloneFromSnapshot'>,
  download: Download,
  read: (clone: CloneFromSnapshot) => PersistentVolumeClaim,
): Promise<void> {
  await requireNoWriter(deps, download)
  const clone = lease.latest()
  const staged = requireStaged(download)
  const begun = handOverOf(download)
  if (begun?.over === true) throw givenUp(staged)
  const stored = () => {
    requireSameClaim(download, clone)
    return read(clone)
  }
  const found = { clone, download, staged, target: begun?.target ?? stored().metadata.name }
  const { handOver, disk } = begun === undefined ? await begin(deps, found) : { handOver: begun, disk: found }
  try {
    if (handOver.plan === undefined) await bindNewClaim(deps, lease, disk, handOver, stored)
    else await bindExistingClaim(deps, lease, disk, handOver.plan)
  } catch (error) {
    throw isHandOverLate(handOver, deps.clock.nowMs()) ? overdue(error, disk) : patient(error)
  }
}

/** The data is complete, so there is time to free quota or to change a policy before the restore fails. */
function patient(error: unknown): unknown {
  return isRefusal(error) ? new RetryableError(error.reason, error.message, { cause: error }) : error
}

/**
 * After the deadline, a claim that is not bound or not admitted ends the restore. Other waits continue: they keep no disk that cannot be
 * found otherwise.
 */
function overdue(error: unknown, { clone, target }: Disk): unknown {
  if (error instanceof RetryableError && error.cause instanceof TerminalError) return error.cause
  if (!(error instanceof RetryableError) || error.reason !== 'TargetNotBoundYet') return error
  return new TerminalError(
    'TargetNeverBound',
    `PersistentVolumeClaim ${clone.metadata.namespace}/${target} was not bound to the restored disk within ${HAND_OVER_DEADLINE_MS / MINUTE_MS} min: the disk is removed; look at the claim's Events`,
  )
}

/** An earlier run gave the hand-over up and died before it could record the reason. */
function givenUp({ name }: StagedVolume): TerminalError {
  return new TerminalError(
    'VolumeNotFound',
    `the hand-over of PersistentVolume ${name} was given up: its disk is removed`,
  )
}

/** No process may still hold the Download: its writes would reach a disk that a Pod already uses. */
async function requireNoWriter(deps: StepDeps, download: Download): Promise<void> {
  const lease = await deps.cluster.read('Lease', deps.settings.veleroNamespace, leaseName(download))
  const state = leaseState(lease, '', deps.clock.nowMs())
  if (state === 'held' || state === 'stale')
    throw new RetryableError(
      'DownloadStillHeld',
      `Download ${download.metadata.name} is completed, but its Lease is not released yet`,
    )
}

/** Throws TerminalError: the Download was made or changed by hand. */
function requireStaged(download: Download): StagedVolume {
  const staged = stagedVolumeOf(download)
  if (staged !== undefined) return staged
  throw new TerminalError(
    'StagedVolumeUnknown',
    `Download ${download.metadata.name} does not say which volume it has filled: restore again`,
  )
}

/**
 * Writes one patch before anything is taken away. The finalizer keeps the Download until the end, because nothing else records the disk.
 */
async function begin(deps: StepDeps, disk: Disk): Promise<{ handOver: HandOver; disk: Disk }> {
  const { clone, download, target } = disk
  if (isBeingDeleted(download)) {
    const text = `Download ${download.metadata.name} is being deleted: its data is written once more`
    throw new RetryableError('DownloadGone', text)
  }
  const awaited = awaitedVolumeName(clone)
  const plan = awaited === undefined ? undefined : await planFor(deps, disk, awaited)
  const since = rfc3339(deps.clock.nowMs())
  const handOver: HandOver = { target, since, ...(plan === undefined ? {} : { plan }) }
  const annotations = { [HAND_OVER_ANNOTATION]: formatHandOver(handOver) }
  const metadata = { annotations, finalizers: withFinalizer(download) }
  return { handOver, disk: { ...disk, download: await deps.cluster.patch('Download', download, { metadata }) } }
}
