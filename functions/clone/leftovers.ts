// What a restore that has ended otherwise takes away: its staging claim, and with it the new disk. A volume that was there before and was bound
// to the staging claim is kept with its data, and for nobody's use. Each part looks at what is there first, so a run that died is simply gone on with.

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

/** RetryableError `StagingClaimStays`: a volume cannot be let go as long as its claim stands. */
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

/** Made for a volume that it never gets. After the volume: from then on nothing can bind it. One that Velero has made is not ours to remove. */
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

/** As it was seen (precondition): it may be bound at any moment, and what it is bound to decides. */
async function removeClaim(deps: StepDeps, clone: CloneFromSnapshot, staging: PersistentVolumeClaim): Promise<void> {
  const volume = await boundVolume(deps, staging)
  if (volume !== undefined) {
    if (isProvisionedFor(volume, staging)) await setReclaimPolicy(deps, volume, 'Delete')
    else await hold(deps, clone, staging, volume)
  }
  await deps.cluster.delete('PersistentVolumeClaim', staging, 'unchanged')
}

/** The API server's word in both directions. Kubernetes writes the volume before the claim, so a claim that names none may have one. */
async function boundVolume(deps: StepDeps, staging: PersistentVolumeClaim): Promise<PersistentVolume | undefined> {
  const name = staging.spec.volumeName ?? ''
  const volume =
    name === ''
      ? (await deps.cluster.list('PersistentVolume')).find((each) => isOfClaim(each, staging.metadata as never))
      : await deps.cluster.read('PersistentVolume', undefined, name)
  return volume !== undefined && isOfClaim(volume, staging.metadata as never) ? volume : undefined
}

/** Its disk stays when the claim goes. What it was like is written in the same patch. */
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
 * Released, with `Retain`, as Kubernetes leaves a volume that a claim has had. Not free again: nobody can tell who has made the claim in our name, and
 * a Pod may have written to the volume, so the next claim to get it would find what a tenant has put there.
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
 * An operator has freed it or given it to another claim meanwhile. Its own policy comes last: the provisioner deletes what is `Released` and has the
 * policy `Delete`, and does not look at the claimRef.
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
