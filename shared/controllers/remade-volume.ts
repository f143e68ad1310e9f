// The volume objects by which the disk of a restore that has ended otherwise goes. Between its two objects the disk has none, and only the Download
// tells of it: then one is made again first, as the driver removes only a disk that has one.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Download, PersistentVolume } from '#shared/api/types.ts'
import { bareVolume, type RestoredVolume } from '#shared/domain/restored-volume.ts'
import { formatHandOver, HAND_OVER_ANNOTATION, handOverOf } from '#shared/domain/staged-volume.ts'
import { isBeingDeleted } from '#shared/domain/step-label.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { StepDeps } from './deps.ts'
import { markedVolumes, type Restored } from './restored-disk.ts'

/** The Download as it stands now; whoever patches it needs it so. */
export type ToRemove = { volumes: PersistentVolume[]; download: Download | undefined }

/** Noted before anything is removed: a run that dies makes no object for a disk that is gone, and gives it to nobody. */
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

/** The driver may look at no object that is on its way out: the disk would stay. The next one is made once it is gone. */
function objectStays({ metadata: { name } }: KubeObject): RetryableError {
  return new RetryableError(
    'VolumeObjectStays',
    `PersistentVolume ${name} is deleted, but not gone: which of its finalizers holds it?`,
  )
}

function isOfDisk(volume: PersistentVolume, { spec }: RestoredVolume): boolean {
  return volume.spec?.csi?.volumeHandle === spec.csi.volumeHandle
}

/** None when another volume object has the disk: it was given to its claim. RetryableError `VolumeNameTaken`. */
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

/** Whatever is against it may pass: the disk may have no other volume object by now. RetryableError of the refusal's reason. */
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
