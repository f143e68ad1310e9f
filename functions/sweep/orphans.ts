// Each hour: removes disk snapshots that carry this cluster's name and no longer belong to any object (docs/design/0002-ends.md).

import type { KubeObject, SteppedKind } from '#shared/api/kinds.ts'
import type { PersistentVolume } from '#shared/api/types.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { VolumeDeps } from '#shared/controllers/deps.ts'
import { removeSnapshot } from '#shared/controllers/local-snapshot.ts'
import type { Resume } from '#shared/controllers/task.ts'
import { glance } from '#shared/domain/glance.ts'
import {
  candidates,
  formatLastDisks,
  inTurns,
  type ListedSnapshot,
  type Owners,
  orphansOf,
  parseLastDisks,
  recordedDisks,
} from '#shared/domain/orphans.ts'
import { asError, DormouseError } from '#shared/kernel/errors.ts'
import { diskOf, gather, idsOf } from './gather.ts'
import { placeOf } from './world.ts'

type OrphanReport = { disks: number; removed: number; failed: number }

const NAMING = [
  'Snapshot',
  'Upload',
  'Download',
  'CloneFromSnapshot',
  'DeleteSnapshot',
] as const satisfies SteppedKind[]

/**
 * A failure of one disk does not stop the others; it is retried in an hour. If `signal` cuts this run off, the next run continues behind
 * the last disk of this one.
 */
export async function sweepOrphans(deps: VolumeDeps, signal: AbortSignal, resume: Resume): Promise<OrphanReport> {
  const report: OrphanReport = { disks: 0, removed: 0, failed: 0 }
  const { orphanAgeMs, snapshotTimeoutMs, veleroNamespace } = deps.settings
  if (orphanAgeMs === 0) return report
  const clusterId = await deps.clusterId()
  const volumes = await gather(deps, 'PersistentVolume', {}, diskOf)
  const naming: KubeObject[] = []
  for (const kind of NAMING) naming.push(...(await gather(deps, kind, placeOf(kind, veleroNamespace), idsOf)))
  const recorded = recordedDisks(volumes, naming)
  const ofVolumes = new Set(recorded.ofVolumes)
  const last = parseLastDisks(resume.after)
  for (const fcdId of inTurns(recorded, { ...last })) {
    if (signal.aborted) break
    report.disks++
    last[ofVolumes.has(fcdId) ? 'ofVolumes' : 'named'] = fcdId
    resume.keep(formatLastDisks(last))
    try {
      const all = await snapshotsOf(deps, fcdId)
      const old = candidates(all, clusterId, deps.clock.nowMs(), Math.max(orphanAgeMs, snapshotTimeoutMs))
      // Owners are read after the disk: an old snapshot cannot get an owner that did not exist when it was made.
      if (old.length === 0) continue
      for (const orphan of orphansOf(old, all, await readOwners(deps, clusterId))) {
        await removeSnapshot(deps, fcdId, orphan.snapshotId, signal)
        report.removed++
        await tell(deps, volumes, fcdId, orphan)
      }
    } catch (error) {
      report.failed++
      deps.log.warn(
        { fcdId, err: asError(error), reason: 'OrphanStays' },
        'could not look after a disk; next hour again',
      )
    }
  }
  return report
}

/** A disk that no vCenter knows (any more) has no snapshots. */
async function snapshotsOf(deps: VolumeDeps, fcdId: string): Promise<ListedSnapshot[]> {
  try {
    return await deps.volumes.listSnapshots(fcdId)
  } catch (error) {
    if (error instanceof DormouseError && error.reason === 'VolumeNotFound') return []
    throw error
  }
}

async function readOwners(deps: VolumeDeps, clusterId: string): Promise<Owners> {
  // Only Uploads in Velero's namespace count. Users can write Uploads elsewhere, and one that names a disk snapshot would keep it for ever.
  const place = { namespace: deps.settings.veleroNamespace }
  const snapshots = await gather(deps, 'Snapshot', {}, (object) => glance('Snapshot', object))
  const uploads = await gather(deps, 'Upload', place, (object) => {
    const { spec, ...seen } = glance('Upload', object)
    return { ...seen, spec: { ...spec, snapshotID: object.spec?.snapshotID } }
  })
  return { clusterId, snapshots, uploads }
}

/** The Snapshot object is gone, so the Event goes to the claim that had the disk. */
async function tell(
  deps: VolumeDeps,
  volumes: PersistentVolume[],
  fcdId: string,
  orphan: ListedSnapshot,
): Promise<void> {
  const message = `removed the left-over backup snapshot ${orphan.snapshotId} (${orphan.description}) of disk ${fcdId}`
  deps.log.info({ reason: 'OrphanRemoved' }, message)
  const claim = volumes.find((volume) => volume.spec?.csi?.volumeHandle === fcdId)?.spec?.claimRef
  if (claim === undefined) return
  const { namespace, name, uid } = claim
  const beside = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { namespace: namespace ?? '', name: name ?? '', ...(uid === undefined ? {} : { uid }) },
  }
  await announce(deps, beside, 'Normal', 'OrphanRemoved', message)
}
