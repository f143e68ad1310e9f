// The volume object of a staged disk: read and compared right before it is changed, and changed only as it was read.

import type { CloneFromSnapshot, Download, PersistentVolume, PersistentVolumeClaim } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { NO_VOLUME_MARK, type StagedVolume, stateOfStaged } from '#shared/domain/staged-volume.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'

/** Whose disk it is, as the Download tells it. `target`: the claim that gets it. */
export type Disk = { clone: CloneFromSnapshot; download: Download; staged: StagedVolume; target: string }

/** undefined: it is gone. TerminalError `VolumeNotOurs`. */
export async function readStagedVolume(deps: StepDeps, disk: Disk): Promise<PersistentVolume | undefined> {
  const { name } = disk.staged
  const volume = await deps.cluster.read('PersistentVolume', undefined, name)
  if (volume === undefined || stateOfStaged(volume, disk) !== 'foreign') return volume
  throw new TerminalError(
    'VolumeNotOurs',
    `PersistentVolume ${name} is neither bound to the staging claim nor promised to ${disk.clone.metadata.namespace}/${disk.target}, or has another disk: it is not touched`,
  )
}

export async function requireStagedVolume(deps: StepDeps, disk: Disk): Promise<PersistentVolume> {
  const volume = await readStagedVolume(deps, disk)
  if (volume !== undefined) return volume
  throw new TerminalError(
    'VolumeNotFound',
    `PersistentVolume ${disk.staged.name} is gone: the restored data went with it`,
  )
}

/** The last change: the policy that its class wants, and no mark any more. RetryableError when it is not bound to this very claim. */
export async function finishVolume(
  deps: StepDeps,
  volume: PersistentVolume,
  claim: PersistentVolumeClaim,
  { reclaimPolicy }: StagedVolume,
): Promise<void> {
  const { namespace, name, uid } = claim.metadata
  if (volume.spec.claimRef?.uid !== uid) throw targetNotBound(namespace, name, volume.metadata.name)
  await deps.cluster.patch('PersistentVolume', volume, {
    metadata: NO_VOLUME_MARK,
    spec: { persistentVolumeReclaimPolicy: reclaimPolicy },
  })
}

export function targetNotBound(namespace: string | undefined, name: string, volumeName: string): RetryableError {
  return new RetryableError(
    'TargetNotBoundYet',
    `PersistentVolumeClaim ${namespace}/${name} is not bound to ${volumeName} yet`,
  )
}
