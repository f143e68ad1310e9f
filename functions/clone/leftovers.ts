// Cleans up after an unsuccessful restore: removes its staging claim and with it the new disk. A volume that existed before and was bound
// to the staging claim is kept with its data, but is not available for use. Each part first looks at what exists, so another run can
// continue after a run that died.

import type {
  CloneFromSnapshot,
  Download,
  PersistentVolume,
  PersistentVolumeClaim,
  ReclaimPolicy,
} from '#shared/api/types.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { pollUntil } from '#shared/controllers/poll.ts'
import { volumesToRemove } from '#shared/controllers/remade-volume.ts'
import { isOfStaging, removeDisk, setReclaimPolicy } from '#shared/controllers/restored-disk.ts'
import type { WorkLease } from '#shared/controllers/work-lease.ts'
import { isOfClaim, isProvisionedFor } from '#shared/domain/new-volume.ts'
import {
  handOverOf,
  isForeign,
  KEPT_ANNOTATION,
  NO_VOLUME_MARK,
  OWN_POLICY_ANNOTATION,
  type StagedVolume,
  stagedVolumeOf,
  volumeMark,
} from '#shared/domain/staged-volume.ts'
import { cloneReference, isOwnClaim } from '#shared/domain/staging.ts'
import { isVolumeOf } from '#shared/domain/volume.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { readDownload } from './download.ts'
import { awaitStagingGone, readAllStaging } from './staging-claim.ts'

/** Throws RetryableError `StagingClaimStays`: a volume cannot be released while its claim exists. */
export async function removeStaged(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  until: Pick<WorkLease, 'signal'>,
): Promise<void> {
  const seen = await readDownload(deps, clone)
  const staged = seen === undefined ? undefined : stagedVolumeOf(seen)
  for (const staging of await readAllStaging(deps, clone, staged?.namespace)) await removeClaim(deps, clone, staging)
  const { volumes, download } = await volumesToRemove(deps, clone, seen)
  for (const volume of volumes) {
    if (isForeign(volume)) await keepForeign(deps, clone, volume, until)
    else await removeDisk(deps, clone, volume, staged?.reclaimPolicy)
  }
  if (download !== undefined && staged !== undefined) await removeTarget(deps, clone, download, staged)
}

/**
 * Removes a target claim that will never get its volume. This runs after the volume is removed, so nothing can bind the claim any more. A
 * claim that Velero made is not removed.
 */
async function removeTarget(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  download: Download,
  staged: StagedVolume,
): Promise<void> {
  const handOver = handOverOf(download)
  if (handOver === undefined || handOver.plan !== undefined) return
  const target = await deps.cluster.read('PersistentVolumeClaim', clone.metadata.namespace, handOver.target)
  if (target === undefined || !isOwnClaim(target, clone) || target.spec?.volumeName !== staged.name) return
  const volume = await deps.cluster.read('PersistentVolume', undefined, staged.name)
  if (volume === undefined || !isVolumeOf(volume, target))
    await deps.cluster.delete('PersistentVolumeClaim', target, 'unchanged')
}

/** Deletes the claim only as it was read (precondition): it may be bound at any moment, and the volume that it is bound to decides. */
async function removeClaim(deps: StepDeps, clone: CloneFromSnapshot, staging: PersistentVolumeClaim): Promise<void> {
  const volume = await boundVolume(deps, staging)
  if (volume !== undefined) {
    if (isProvisionedFor(volume, staging)) await setReclaimPolicy(deps, volume, 'Delete')
    else await hold(deps, clone, staging, volume)
  }
  await deps.cluster.delete('PersistentVolumeClaim', staging, 'unchanged')
}

/**
 * Checks the API server's data in both directions. Kubernetes writes the volume before the claim, so a claim that names no volume may have
 * one.
 */
async function boundVolume(deps: StepDeps, staging: PersistentVolumeClaim): Promise<PersistentVolume | undefined> {
  const name = staging.spec.volumeName ?? ''
  const volume =
    name === ''
      ? (await deps.cluster.list('PersistentVolume')).find((each) => isOfClaim(each, staging.metadata))
      : await deps.cluster.read('PersistentVolume', undefined, name)
  return volume !== undefined && isOfClaim(volume, staging.metadata) ? volume : undefined
}

/** Keeps the disk when the claim is deleted. The same patch records the volume's original reclaim policy. */
async function hold(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  staging: PersistentVolumeClaim,
  volume: PersistentVolume,
): Promise<void> {
  if (isForeign(volume)) return
  const { labels, annotations } = volumeMark(clone, staging.metadata.uid ?? '')
  const own = { [OWN_POLICY_ANNOTATION]: volume.spec.persistentVolumeReclaimPolicy ?? 'Retain' }
  await deps.cluster.patch('PersistentVolume', volume, {
    metadata: { labels, annotations: { ...annotations, ...own } },
    spec: { persistentVolumeReclaimPolicy: 'Retain' },
  })
}

/**
 * Leaves the volume `Released` with `Retain`, as Kubernetes leaves a volume whose claim is gone. The volume is not made available again: it
 * is unknown who made the claim in Dormouse's name, and a Pod may have written to the volume, so the next claim would get data that a
 * tenant put there.
 */
async function keepForeign(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  held: PersistentVolume,
  until: Pick<WorkLease, 'signal'>,
): Promise<void> {
  if (isOfStaging(held, clone)) await awaitStagingGone(deps, clone, until)
  const volume = await deps.cluster.read('PersistentVolume', undefined, held.metadata.name)
  if (volume === undefined || !isForeign(volume)) return
  if (!isOfStaging(volume, clone)) return await restoreOwnPolicy(deps, volume, until)
  const policy = volume.metadata.annotations?.[OWN_POLICY_ANNOTATION]
  const kept = `bound to the staging claim of CloneFromSnapshot ${cloneReference(clone)}; its own reclaim policy was ${policy}`
  const message = `it was ${kept}: it is kept as Released, with Retain; look at what it holds before you take its claimRef out`
  await announce(deps, { ...volume, kind: 'PersistentVolume' }, 'Warning', 'VolumeKept', message)
  await deps.cluster.patch('PersistentVolume', volume, {
    metadata: { ...NO_VOLUME_MARK, annotations: { ...NO_VOLUME_MARK.annotations, [KEPT_ANNOTATION]: kept } },
  })
}

/**
 * An operator has freed the volume or given it to another claim meanwhile. Its own policy is restored last, because the provisioner deletes
 * a volume that is `Released` and has the policy `Delete`, and ignores its claimRef.
 */
async function restoreOwnPolicy(
  deps: StepDeps,
  held: PersistentVolume,
  until: Pick<WorkLease, 'signal'>,
): Promise<void> {
  const { name } = held.metadata
  const read = async () => await deps.cluster.read('PersistentVolume', undefined, name)
  if (!(await pollUntil(deps, until, async () => isSettled(await read())))) {
    throw new RetryableError(
      'VolumeObjectStays',
      `PersistentVolume ${name} was freed, but Kubernetes has not seen it yet`,
    )
  }
  const volume = await read()
  if (volume === undefined || !isForeign(volume)) return
  const persistentVolumeReclaimPolicy = volume.metadata.annotations?.[OWN_POLICY_ANNOTATION] as
    | ReclaimPolicy
    | undefined
  await deps.cluster.patch('PersistentVolume', volume, {
    metadata: NO_VOLUME_MARK,
    spec: { persistentVolumeReclaimPolicy },
  })
}

function isSettled(volume: PersistentVolume | undefined): boolean {
  const phase = volume?.status?.phase
  return volume === undefined || phase === 'Available' || (phase === 'Bound' && volume.spec.claimRef !== undefined)
}
