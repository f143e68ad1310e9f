// The new disk of a restore that has not been handed over yet. It is found by the mark on its volume object, which no tenant can write, and
// it is deleted unless a claim uses it.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { PersistentVolume, ReclaimPolicy } from '#shared/api/types.ts'
import { NO_VOLUME_MARK, STAGING_CLAIM_ANNOTATION } from '#shared/domain/staged-volume.ts'
import { CLONE_LABEL, stagingClaimName } from '#shared/domain/staging.ts'
import { isVolumeOf } from '#shared/domain/volume.ts'
import type { StepDeps } from './deps.ts'

/** The clone that owns the disk. The object itself may be gone. */
export type Restored = Pick<KubeObject, 'metadata'>

/** The volumes that carry the mark of this clone, whatever has become of its Download. */
export async function markedVolumes(deps: StepDeps, { metadata }: Restored): Promise<PersistentVolume[]> {
  return await deps.cluster.list('PersistentVolume', { labelSelector: `${CLONE_LABEL}=${metadata.uid}` })
}

/** Under a policy other than `Retain`, the disk would be deleted together with the staging claim. */
export async function setReclaimPolicy(
  deps: StepDeps,
  volume: PersistentVolume,
  policy: ReclaimPolicy,
): Promise<PersistentVolume> {
  if (volume.spec.persistentVolumeReclaimPolicy === policy) return volume
  return await deps.cluster.patch('PersistentVolume', volume, { spec: { persistentVolumeReclaimPolicy: policy } })
}

/**
 * The mark proves that Dormouse made this disk. `ownPolicy` is the reclaim policy of the storage class, for a disk that a claim already
 * uses; undefined if it is unknown.
 */
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

/** Compares UIDs, so the namespace of the staging claim does not matter. */
export function isOfStaging(volume: PersistentVolume, clone: Restored): boolean {
  const { name, uid } = volume.spec?.claimRef ?? {}
  return (
    uid !== undefined &&
    name === stagingClaimName(clone) &&
    uid === volume.metadata.annotations?.[STAGING_CLAIM_ANNOTATION]
  )
}

/** Kubernetes then sees a volume whose claim is gone, and the CSI driver deletes the volume together with its disk. */
async function release(deps: StepDeps, clone: Restored, volume: PersistentVolume): Promise<void> {
  const claimRef = { name: stagingClaimName(clone), uid: volume.metadata.annotations?.[STAGING_CLAIM_ANNOTATION] }
  await deps.cluster.patch('PersistentVolume', volume, { spec: { persistentVolumeReclaimPolicy: 'Delete', claimRef } })
}

/**
 * A claim that uses the disk keeps it, and the disk follows the policy of its class. `Retain` would leave a disk that no function looks
 * for.
 */
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
