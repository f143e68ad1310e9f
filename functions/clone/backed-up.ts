// Adapts the staged volume to what the backup records about the original volume.

import type { PersistentVolume } from '#shared/api/types.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { backedUpOf } from '#shared/domain/backed-up.ts'
import { asksForNodes, isPlaceKept, takenOver } from '#shared/domain/taken-over.ts'
import type { Disk } from './volume.ts'

/** `claimModes`: the access modes of the claim that gets the volume. */
export async function asBackedUp(
  deps: StepDeps,
  { clone, download }: Disk,
  staged: PersistentVolume,
  claimModes: unknown,
): Promise<PersistentVolume> {
  const record = backedUpOf(download)?.volume
  const nodes = asksForNodes(staged, record) ? await deps.cluster.list('Node') : []
  const wanted = { record, claimModes, nodes }
  if (!isPlaceKept(staged, wanted)) {
    const text =
      'no node of this cluster has what the backed-up volume asked for (nodeAffinity): the restored one is for any node'
    await announce(deps, clone, 'Warning', 'NodeAffinityLeftOut', text)
  }
  return takenOver(staged, wanted)
}
