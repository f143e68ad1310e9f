// The hand-over: the filled volume changes from the staging claim to the claim that the user asked for
// (docs/design/0004-trust.md#a-restore-takes-nothing-that-was-there-before). What it goes by stands on the Download before anything is
// taken away. Each part looks at what is there first, so a run that died is simply gone on with.

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

/** `read`: the claim that a clone stores. It is read only where it is needed, and only as it was when the disk was made. */
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

/** The data is whole: there is time to make room in a quota, or to change a rule, before it is given up. */
function patient(error: unknown): unknown {
  return isRefusal(error) ? new RetryableError(error.reason, error.message, { cause: error }) : error
}

/** What is not bound, or not let in, by now never is. Anything else that is waited for holds no disk that others could not find. */
function overdue(error: unknown, { clone, target }: Disk): unknown {
  if (error instanceof RetryableError && error.cause instanceof TerminalError) return error.cause
  if (!(error instanceof RetryableError) || error.reason !== 'TargetNotBoundYet') return error
  return new TerminalError(
    'TargetNeverBound',
    `PersistentVolumeClaim ${clone.metadata.namespace}/${target} was not bound to the restored disk within ${HAND_OVER_DEADLINE_MS / MINUTE_MS} min: the disk is removed; look at the claim's Events`,
  )
}

/** By an earlier run, which died before it could say why. */
function givenUp({ name }: StagedVolume): TerminalError {
  return new TerminalError(
    'VolumeNotFound',
    `the hand-over of PersistentVolume ${name} was given up: its disk is removed`,
  )
}

/** Nobody may still hold the Download: its writes would land in a disk that a Pod already uses. */
async function requireNoWriter(deps: StepDeps, download: Download): Promise<void> {
  const lease = await deps.cluster.read('Lease', deps.settings.veleroNamespace, leaseName(download))
  const state = leaseState(lease, '', deps.clock.nowMs())
  if (state === 'held' || state === 'stale')
    throw new RetryableError(
      'DownloadStillHeld',
      `Download ${download.metadata.name} is completed, but its Lease is not released yet`,
    )
}

/** TerminalError: somebody made or changed it by hand. */
function requireStaged(download: Download): StagedVolume {
  const staged = stagedVolumeOf(download)
  if (staged !== undefined) return staged
  throw new TerminalError(
    'StagedVolumeUnknown',
    `Download ${download.metadata.name} does not say which volume it has filled: restore again`,
  )
}

/** One patch, before anything is taken away. The finalizer keeps the Download until the end: nothing else tells of the disk. */
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
