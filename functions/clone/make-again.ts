// Creates another volume object with the same name over the staged disk. This is needed where the provisioner's object cannot be changed as
// required, for example its file system. As for a claim that Velero made, the first object is deleted before the second is created.

import type { PersistentVolume } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import type { WorkLease } from '#shared/controllers/work-lease.ts'
import { type RestoredVolume, restoredVolume } from '#shared/domain/restored-volume.ts'
import { formatHandOver, HAND_OVER_ANNOTATION, type HandOver, stateOfStaged } from '#shared/domain/staged-volume.ts'
import { createVolume, dropStaged } from './bind-existing-claim.ts'
import { type Disk, readStagedVolume } from './volume.ts'

/** Recorded before anything is taken away: between the two objects only the Download records the disk. */
export async function noteAgain(
  deps: StepDeps,
  { clone, download, staged, target }: Disk,
  handOver: HandOver,
  wanted: PersistentVolume,
): Promise<RestoredVolume> {
  const { storageClassName } = wanted.spec
  const { namespace } = clone.metadata
  const claim = { metadata: { name: target, namespace: namespace ?? '' }, spec: { storageClassName } }
  const again = restoredVolume(clone, wanted, claim, staged.name)
  const annotations = { [HAND_OVER_ANNOTATION]: formatHandOver({ ...handOver, again }) }
  await deps.cluster.patch('Download', download, { metadata: { annotations } })
  return again
}

export async function makeAgain(
  deps: StepDeps,
  lease: WorkLease<'CloneFromSnapshot'>,
  disk: Disk,
  again: RestoredVolume,
): Promise<void> {
  const there = await readStagedVolume(deps, disk)
  if (there !== undefined && stateOfStaged(there, disk) === 'given') return
  await dropStaged(deps, lease, disk)
  await createVolume(deps, again)
}
