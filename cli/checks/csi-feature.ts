// If Velero's CSI feature is on, Velero itself takes each claim, or fails it, before it calls Dormouse's plugin.

import type { VolumeSnapshotClass } from '#shared/api/types.ts'
import { CSI_DRIVER } from '#shared/domain/volume.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import { type Finding, note, ok, problem, problemOf, warning } from '../finding.ts'
import { hasCsiFeature, veleroSnapshotClass } from '../velero-csi.ts'

const FIX = `take EnableCSI out of the features of velero server, or give each Backup a volume policy with the action custom for ${CSI_DRIVER} (velero/README.md)`

export async function checkCsiFeature(deps: { cluster: Cluster; namespace: string }): Promise<Finding[]> {
  try {
    const server = await deps.cluster.read('Deployment', deps.namespace, 'velero')
    if (server === undefined)
      return [note('csi', '', `no Deployment ${deps.namespace}/velero: whether EnableCSI is on cannot be seen`)]
    if (!hasCsiFeature(server)) return [ok('csi', '', "Velero's CSI feature is off")]
    return [findingOf(veleroSnapshotClass(await snapshotClasses(deps.cluster)))]
  } catch (error) {
    return [problemOf('csi', '', error)]
  }
}

function findingOf(taken: VolumeSnapshotClass | undefined): Finding {
  if (taken === undefined) {
    const text = `EnableCSI is on, and Velero finds no VolumeSnapshotClass for ${CSI_DRIVER}: it fails each claim before Dormouse is asked`
    return problem('csi', '', text, FIX)
  }
  const text = `EnableCSI is on: Velero takes a VolumeSnapshot of each disk, too, which keeps backups from being incremental while it stands`
  return warning('csi', `VolumeSnapshotClass ${taken.metadata.name}`, text, FIX)
}

/** A cluster without a snapshot controller does not serve them. */
async function snapshotClasses(cluster: Cluster): Promise<VolumeSnapshotClass[]> {
  try {
    return await cluster.list('VolumeSnapshotClass')
  } catch (error) {
    if (error instanceof DormouseError && error.reason === 'KubernetesKindMissing') return []
    throw error
  }
}
