// Provides the volume objects through which the disk of an unsuccessful restore is deleted. During a hand-over there is a moment when the
// disk has no volume object and only the Download records it. The object is then created again first, because the CSI driver deletes a disk
// only through its volume object.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Download, PersistentVolume } from '#shared/api/types.ts'
import { bareVolume, type RestoredVolume } from '#shared/domain/restored-volume.ts'
import { formatHandOver, HAND_OVER_ANNOTATION, handOverOf } from '#shared/domain/staged-volume.ts'
import { isBeingDeleted } from '#shared/domain/step-label.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { StepDeps } from './deps.ts'
import { markedVolumes, type Restored } from './restored-disk.ts'

/** `download` is the Download as last written. A later patch needs this version. */
type ToRemove = { volumes: PersistentVolume[]; download: Download | undefined }

/**
 * Records in the Download that the hand-over is over before anything is removed. If the run dies, a later run neither creates a volume
 * object for a disk that is gone nor gives the disk to a claim.
 */
export async function volumesToRemove(
  deps: StepDeps,
  clone: Restored,
  download: Download | undefined,
): Promise<ToRemove> {
  const marked = await markedVolumes(deps, clone)
  const handOver = download === undefined ? undefined : handOverOf(download)
  const plan = handOver?.plan ?? handOver?.again
  if (download === undefined || handOver === undefined || plan === undefined || handOver.over === true)
    return { volumes: marked, download }
  const going = marked.find((volume) => isOfDisk(volume, plan) && isBeingDeleted(volume))
  if (going !== undefined) throw objectStays(going)
  const volumes = marked.some((volume) => isOfDisk(volume, plan)) ? marked : [...marked, ...(await remake(deps, plan))]
  if (!volumes.some((volume) => isOfDisk(volume, plan))) return { volumes, download }
  const annotations = { [HAND_OVER_ANNOTATION]: formatHandOver({ ...handOver, over: true }) }
  return { volumes, download: await deps.cluster.patch('Download', download, { metadata: { annotations } }) }
}

/**
 * The CSI driver may ignore a volume object that is being deleted, and the disk would stay. A new object is created once the old one is
 * gone.
 */
function objectStays({ metadata: { name } }: KubeObject): RetryableError {
  return new RetryableError(
    'VolumeObjectStays',
    `PersistentVolume ${name} is deleted, but not gone: which of its finalizers holds it?`,
  )
}

function isOfDisk(volume: PersistentVolume, { spec }: RestoredVolume): boolean {
  return volume.spec?.csi?.volumeHandle === spec.csi.volumeHandle
}

/**
 * Returns an empty list if another volume object has the disk, because the disk was then given to its claim. Throws RetryableError
 * `VolumeNameTaken`.
 */
async function remake(deps: StepDeps, plan: RestoredVolume): Promise<PersistentVolume[]> {
  const all = await deps.cluster.list('PersistentVolume')
  if (all.some((volume) => isOfDisk(volume, plan))) return []
  const { name } = plan.metadata
  if (all.some(({ metadata }) => metadata.name === name))
    throw new RetryableError(
      'VolumeNameTaken',
      `PersistentVolume ${name} has another disk: find out whose it is before it goes`,
    )
  return [await insistOn(deps, bareVolume(plan))]
}

/**
 * Every refusal is treated as temporary, because the disk may have no other volume object by now. Throws RetryableError with the reason of
 * the refusal.
 */
export async function insistOn(deps: StepDeps, volume: PersistentVolume): Promise<PersistentVolume> {
  try {
    return await deps.cluster.create('PersistentVolume', volume)
  } catch (error) {
    if (!(error instanceof TerminalError)) throw error
    throw new RetryableError(
      error.reason,
      `${error.message}: PersistentVolume ${volume.metadata.name} has to be made, as its disk may have no other one by now`,
      { cause: error },
    )
  }
}
