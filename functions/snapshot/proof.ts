// Verifies a Snapshot's status. Users can write it (docs/design/0004-trust.md), so its ids count only if vCenter, or an Upload in Velero's
// namespace, confirms them.

import type { Snapshot } from '#shared/api/types.ts'
import type { VolumeDeps } from '#shared/controllers/deps.ts'
import { snapshotDescription } from '#shared/domain/orphans.ts'
import { seeSnapshot } from '#shared/domain/snapshot.ts'

/**
 * The names of this Snapshot's disk snapshot; new ones are made under the first. The name of a disk snapshot that is itself the backup says
 * so, for the orphan sweep. A disk snapshot under the second name also belongs to this Snapshot.
 */
export async function namesOf(deps: VolumeDeps, snapshot: Snapshot): Promise<[string, string]> {
  const { localMode } = seeSnapshot(snapshot)
  const [clusterId, uid] = [await deps.clusterId(), snapshot.metadata.uid ?? '']
  return [snapshotDescription(clusterId, uid, localMode), snapshotDescription(clusterId, uid, !localMode)]
}

/**
 * - `own`: vCenter lists the disk snapshot under a name of this object.
 * - `gone`: vCenter lists no disk snapshot with that id.
 * - `foreign`: the disk snapshot was made for something else.
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
