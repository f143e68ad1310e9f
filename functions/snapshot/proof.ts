// What of a Snapshot's status is true. Users can write it (docs/design/0004-trust.md): ids in it count when vCenter, or an Upload in
// Velero's namespace, says the same.

import type { Snapshot } from '#shared/api/types.ts'
import type { VolumeDeps } from '#shared/controllers/deps.ts'
import { snapshotDescription } from '#shared/domain/orphans.ts'
import { seeSnapshot } from '#shared/domain/snapshot.ts'

/** The name to make it under first: one that is the backup itself says so, for the orphan sweep. The other would be its own, too. */
export async function namesOf(deps: VolumeDeps, snapshot: Snapshot): Promise<[string, string]> {
  const { localMode } = seeSnapshot(snapshot)
  const [clusterId, uid] = [await deps.clusterId(), snapshot.metadata.uid ?? '']
  return [snapshotDescription(clusterId, uid, localMode), snapshotDescription(clusterId, uid, !localMode)]
}

/**
 * `own`: vCenter lists the disk snapshot under the name that this very object gives. `gone`: it lists none with that id. `foreign`:
 * it was made for something else.
 */
export async function whoseSnapshot(
  deps: VolumeDeps,
  snapshot: Snapshot,
  { fcdId, snapshotId }: { fcdId: string; snapshotId: string },
): Promise<'own' | 'gone' | 'foreign'> {
  if ((await deps.volumes.describe(fcdId)) === undefined) return 'gone'
  const found = (await deps.volumes.listSnapshots(fcdId)).find((each) => each.snapshotId === snapshotId)
  if (found === undefined) return 'gone'
  return (await namesOf(deps, snapshot)).includes(found.description) ? 'own' : 'foreign'
}
