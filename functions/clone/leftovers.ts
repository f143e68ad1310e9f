// What a restore that has ended otherwise takes away: its staging claim, and with it the new disk. A volume that was there before and was bound
// to the staging claim is given back as it was. Each part looks at what is there first, so a run that died is simply gone on with.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isOfClaim, isProvisionedFor } from '#shared/domain/new-volume.ts'
import {
  NO_VOLUME_MARK,
  OWN_POLICY_ANNOTATION,
  STAGING_CLAIM_ANNOTATION,
  volumeMark,
} from '#shared/domain/staged-volume.ts'
import { stagingClaimName } from '#shared/domain/staging.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { Claim } from '#shared/steps/claim.ts'
import type { StepDeps } from '#shared/steps/deps.ts'
import { lookUntil } from '#shared/steps/look.ts'
import { awaitStagingGone, readStaging } from './staging-claim.ts'
import { markedVolumes, setReclaimPolicy } from './volume.ts'

/** RetryableError `StagingClaimStays`: a volume cannot be given back as long as its claim stands. */
export async function removeStaged(deps: StepDeps, clone: KubeObject, until: Pick<Claim, 'signal'>): Promise<void> {
  const staging = await readStaging(deps, clone)
  if (staging !== undefined) await removeClaim(deps, clone, staging)
  for (const volume of await markedVolumes(deps, clone)) {
    if (isForeign(volume)) await giveBack(deps, clone, volume, until)
    else await removeDisk(deps, clone, volume)
  }
}

export function isForeign({ metadata }: KubeObject): boolean {
  return metadata.annotations?.[OWN_POLICY_ANNOTATION] !== undefined
}

/** As it was seen (precondition): it may be bound at any moment, and what it is bound to decides. */
async function removeClaim(deps: StepDeps, clone: KubeObject, staging: KubeObject): Promise<void> {
  const volume = await boundVolume(deps, staging)
  if (volume !== undefined) {
    if (isProvisionedFor(volume, staging)) await setReclaimPolicy(deps, volume, 'Delete')
    else await hold(deps, clone, staging, volume)
  }
  await deps.cluster.delete('PersistentVolumeClaim', staging, 'unchanged')
}

/** The API server's word in both directions. Kubernetes writes the volume before the claim, so a claim that names none may have one. */
async function boundVolume(deps: StepDeps, staging: KubeObject): Promise<KubeObject | undefined> {
  const name = staging['spec'].volumeName ?? ''
  const volume =
    name === ''
      ? (await deps.cluster.list('PersistentVolume')).find((each) => isOfClaim(each, staging.metadata as never))
      : await deps.cluster.read('PersistentVolume', undefined, name)
  return volume !== undefined && isOfClaim(volume, staging.metadata as never) ? volume : undefined
}

/** Its disk stays when the claim goes. What it was like is written in the same patch. */
async function hold(deps: StepDeps, clone: KubeObject, staging: KubeObject, volume: KubeObject): Promise<void> {
  if (isForeign(volume)) return
  const { labels, annotations } = volumeMark(clone, staging.metadata.uid ?? '')
  const own = { [OWN_POLICY_ANNOTATION]: volume['spec'].persistentVolumeReclaimPolicy ?? 'Retain' }
  await deps.cluster.patch('PersistentVolume', volume, {
    metadata: { labels, annotations: { ...annotations, ...own } },
    spec: { persistentVolumeReclaimPolicy: 'Retain' },
  })
}

/**
 * Free again, and only then with its own policy: the provisioner deletes what is `Released` and has the policy `Delete`, and does not look at the
 * claimRef. Somebody has given it to another claim meanwhile: only the marks go.
 */
async function giveBack(
  deps: StepDeps,
  clone: KubeObject,
  held: KubeObject,
  until: Pick<Claim, 'signal'>,
): Promise<void> {
  const { name } = held.metadata
  const read = async () => await deps.cluster.read('PersistentVolume', undefined, name)
  if (isOfStaging(held, clone)) {
    await awaitStagingGone(deps, clone, until)
    await unbind(deps, clone, await read())
  }
  if (!(await lookUntil(deps, until, async () => isSettled(await read())))) {
    throw new RetryableError(
      'VolumeObjectStays',
      `PersistentVolume ${name} is given back, but Kubernetes has not freed it yet`,
    )
  }
  const volume = await read()
  if (volume === undefined || !isForeign(volume)) return
  const persistentVolumeReclaimPolicy = volume.metadata.annotations?.[OWN_POLICY_ANNOTATION]
  await deps.cluster.patch('PersistentVolume', volume, {
    metadata: NO_VOLUME_MARK,
    spec: { persistentVolumeReclaimPolicy },
  })
}

function isSettled(volume: KubeObject | undefined): boolean {
  const phase = volume?.['status']?.phase
  return volume === undefined || phase === 'Available' || (phase === 'Bound' && volume['spec'].claimRef !== undefined)
}

async function unbind(deps: StepDeps, clone: KubeObject, volume: KubeObject | undefined): Promise<void> {
  if (volume === undefined || !isForeign(volume) || !isOfStaging(volume, clone)) return
  await deps.cluster.patch('PersistentVolume', volume, {
    metadata: { annotations: { 'pv.kubernetes.io/bound-by-controller': null } },
    spec: { claimRef: null },
  })
}

/** Ours, proved when it was marked. Bound to a claim by now, it is that claim's. */
async function removeDisk(deps: StepDeps, clone: KubeObject, volume: KubeObject): Promise<void> {
  if (isOfStaging(volume, clone)) {
    await setReclaimPolicy(deps, volume, 'Delete')
    return
  }
  const { uid, namespace } = volume['spec'].claimRef ?? {}
  if (uid !== undefined || namespace !== clone.metadata.namespace) return
  // Kubernetes sees a volume whose claim is gone, and the driver deletes it together with its disk.
  const claimRef = { name: stagingClaimName(clone), uid: volume.metadata.annotations?.[STAGING_CLAIM_ANNOTATION] }
  await deps.cluster.patch('PersistentVolume', volume, { spec: { persistentVolumeReclaimPolicy: 'Delete', claimRef } })
}

function isOfStaging(volume: KubeObject, clone: KubeObject): boolean {
  const uid = volume.metadata.annotations?.[STAGING_CLAIM_ANNOTATION]
  return isOfClaim(volume, { namespace: clone.metadata.namespace, name: stagingClaimName(clone), uid })
}
