// A restore's own new disk that is not handed over: it is found by the mark on its volume object, which no tenant can write, and goes as long
// as no claim has it.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { PersistentVolume, ReclaimPolicy } from '#shared/api/types.ts'
import { NO_VOLUME_MARK, STAGING_CLAIM_ANNOTATION } from '#shared/domain/staged-volume.ts'
import { CLONE_LABEL, stagingClaimName } from '#shared/domain/staging.ts'
import { isVolumeOf } from '#shared/domain/volume.ts'
import type { StepDeps } from './deps.ts'

/** Whose disk it is; the clone itself may be gone. */
export type Restored = Pick<KubeObject, 'metadata'>

/** Volumes that carry the mark of this clone, whatever has become of its Download. */
export async function markedVolumes(deps: StepDeps, { metadata }: Restored): Promise<PersistentVolume[]> {
  return await deps.cluster.list('PersistentVolume', { labelSelector: `${CLONE_LABEL}=${metadata.uid}` })
}

/** `Retain`, else the disk would be deleted together with the staging claim. */
export async function setReclaimPolicy(
  deps: StepDeps,
  volume: PersistentVolume,
  policy: ReclaimPolicy,
): Promise<PersistentVolume> {
  if (volume.spec.persistentVolumeReclaimPolicy === policy) return volume
  return await deps.cluster.patch('PersistentVolume', volume, { spec: { persistentVolumeReclaimPolicy: policy } })
}

/** Ours, proved when it was marked. `ownPolicy`: what its class wants, for a claim that has got it; undefined: nobody knows. */
export async function removeDisk(
  deps: StepDeps,
  clone: Restored,
  volume: PersistentVolume,
  ownPolicy: ReclaimPolicy | undefined,
): Promise<void> {
  const { uid, namespace } = volume.spec.claimRef ?? {}
  if (isOfStaging(volume, clone)) await setReclaimPolicy(deps, volume, 'Delete')
  else if (namespace !== clone.metadata.namespace) return
  else if (uid === undefined) await release(deps, clone, volume)
  else await removeBound(deps, volume, ownPolicy)
}

/** By its UID, wherever that claim stood. */
export function isOfStaging(volume: PersistentVolume, clone: Restored): boolean {
  const { name, uid } = volume.spec?.claimRef ?? {}
  return (
    uid !== undefined &&
    name === stagingClaimName(clone) &&
    uid === volume.metadata.annotations?.[STAGING_CLAIM_ANNOTATION]
  )
}

/** Kubernetes sees a volume whose claim is gone, and the driver deletes it together with its disk. */
async function release(deps: StepDeps, clone: Restored, volume: PersistentVolume): Promise<void> {
  const claimRef = { name: stagingClaimName(clone), uid: volume.metadata.annotations?.[STAGING_CLAIM_ANNOTATION] }
  await deps.cluster.patch('PersistentVolume', volume, { spec: { persistentVolumeReclaimPolicy: 'Delete', claimRef } })
}

/** A claim that has it keeps it, and the disk goes with it as its class wants; `Retain` would leave a disk that nobody looks for. */
async function removeBound(
  deps: StepDeps,
  volume: PersistentVolume,
  ownPolicy: ReclaimPolicy | undefined,
): Promise<void> {
  const { namespace, name } = volume.spec.claimRef ?? {}
  const claim = await deps.cluster.read('PersistentVolumeClaim', namespace, name ?? '')
  if (claim === undefined || !isVolumeOf(volume, claim)) {
    await setReclaimPolicy(deps, volume, 'Delete')
    return
  }
  const spec = ownPolicy === undefined ? {} : { spec: { persistentVolumeReclaimPolicy: ownPolicy } }
  await deps.cluster.patch('PersistentVolume', volume, { metadata: NO_VOLUME_MARK, ...spec })
}
