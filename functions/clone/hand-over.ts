// The hand-over: the filled volume changes from the staging claim to the claim that the user asked for (design §3.8). What it goes by stands on
// the Download before anything is taken away. Each part looks at what is there first, so a run that died is simply gone on with.

import type { KubeObject } from '#shared/api/kinds.ts'
import { leaseName, leaseState } from '#shared/domain/lease.ts'
import { awaitedVolumeName } from '#shared/domain/restored-volume.ts'
import {
  formatHandOver,
  HAND_OVER_ANNOTATION,
  type HandOver,
  handOverOf,
  type StagedVolume,
  stagedVolumeOf,
} from '#shared/domain/staged-volume.ts'
import { isBeingDeleted, withFinalizer } from '#shared/domain/step-label.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { Claim } from '#shared/steps/claim.ts'
import type { StepDeps } from '#shared/steps/deps.ts'
import { giveToNewClaim } from './give-to-new.ts'
import { giveToWaitingClaim, planFor } from './give-to-waiting.ts'
import type { Disk } from './volume.ts'

export async function handOver(deps: StepDeps, claim: Claim, download: KubeObject, stored: KubeObject): Promise<void> {
  await requireNoWriter(deps, download)
  const clone = claim.latest()
  const staged = requireStaged(download)
  const begun = handOverOf(download)
  const disk = { clone, download, staged, target: begun?.target ?? stored.metadata.name }
  const { plan } = begun ?? (await begin(deps, disk))
  if (plan === undefined) await giveToNewClaim(deps, claim, disk, stored)
  else await giveToWaitingClaim(deps, claim, disk, plan)
}

/** Nobody may still hold the Download: its writes would land in a disk that a Pod already uses. */
async function requireNoWriter(deps: StepDeps, download: KubeObject): Promise<void> {
  const lease = await deps.cluster.read('Lease', deps.settings.veleroNamespace, leaseName(download))
  const state = leaseState(lease, '', deps.clock.nowMs())
  if (state === 'held' || state === 'stale')
    throw new RetryableError(
      'DownloadStillHeld',
      `Download ${download.metadata.name} is completed, but its Lease is not released yet`,
    )
}

/** TerminalError: somebody made or changed it by hand. */
function requireStaged(download: KubeObject): StagedVolume {
  const staged = stagedVolumeOf(download)
  if (staged !== undefined) return staged
  throw new TerminalError(
    'StagedVolumeUnknown',
    `Download ${download.metadata.name} does not say which volume it has filled: restore again`,
  )
}

/** One patch, before anything is taken away. The finalizer keeps the Download until the end: nothing else tells of the disk. */
async function begin(deps: StepDeps, disk: Disk): Promise<HandOver> {
  const { clone, download, target } = disk
  if (isBeingDeleted(download)) {
    const text = `Download ${download.metadata.name} is being deleted: its data is written once more`
    throw new RetryableError('DownloadGone', text)
  }
  const awaited = awaitedVolumeName(clone)
  const plan = awaited === undefined ? undefined : await planFor(deps, disk, awaited)
  const begun: HandOver = { target, ...(plan === undefined ? {} : { plan }) }
  const annotations = { [HAND_OVER_ANNOTATION]: formatHandOver(begun) }
  await deps.cluster.patch('Download', download, { metadata: { annotations, finalizers: withFinalizer(download) } })
  return begun
}
