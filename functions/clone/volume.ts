// The volume object of a staged disk.

import type { KubeObject } from '#shared/api/kinds.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { StepDeps } from '#shared/steps/deps.ts'

export async function requireVolume(deps: StepDeps, name: string): Promise<KubeObject> {
  const volume = await deps.cluster.read('PersistentVolume', undefined, name)
  if (volume !== undefined) return volume
  throw new TerminalError('VolumeNotFound', `PersistentVolume ${name} is gone: the restored data went with it`)
}

/** `Retain`, else the disk would be deleted together with the staging claim; at the end what the class wants. */
export async function setReclaimPolicy(deps: StepDeps, volume: KubeObject, policy: string): Promise<void> {
  if (volume['spec'].persistentVolumeReclaimPolicy === policy) return
  await deps.cluster.patch('PersistentVolume', volume, { spec: { persistentVolumeReclaimPolicy: policy } })
}

export function wantedPolicy(clone: KubeObject): string {
  return clone['status'].reclaimPolicy ?? 'Delete'
}

export function targetNotBound(namespace: string | undefined, name: string, volumeName: string): RetryableError {
  return new RetryableError(
    'TargetNotBoundYet',
    `PersistentVolumeClaim ${namespace}/${name} is not bound to ${volumeName} yet`,
  )
}
