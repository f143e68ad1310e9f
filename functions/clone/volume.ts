// The volume object of a staged disk. It is read and compared right before each change, and changed only if it is unchanged since the read.

import type { CloneFromSnapshot, Download, PersistentVolume, PersistentVolumeClaim } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { NO_VOLUME_MARK, type StagedVolume, stateOfStaged } from '#shared/domain/staged-volume.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'

/** A staged disk as the Download records it. `target`: the name of the claim that gets the disk. */
export type Disk = { clone: CloneFromSnapshot; download: Download; staged: StagedVolume; target: string }

/** undefined: the volume is gone. Throws TerminalError `VolumeNotOurs`. */
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

/**
 * The last change: sets the reclaim policy of the class and removes the mark. Throws RetryableError if the volume is not bound to exactly
 * this claim.
 */
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
