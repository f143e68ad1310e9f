// generated.VolumeSnapshotter: answered so that Velero takes no snapshot through it, and says why it cannot use an old one.

import type { Registry } from './registry.ts'
import { type Method, unary } from './rpc.ts'

const SERVICE = '/generated.VolumeSnapshotter'
const KIND = 'VolumeSnapshotter'

export function snapshotterMethods(registry: Registry): Method[] {
  return [
    unary(`${SERVICE}/Init`, 'generated.VolumeSnapshotterInitRequest', 'generated.Empty', async ({ plugin }) => {
      registry.find(KIND, plugin)
      return {}
    }),
    // No id: Velero (pkg/backup, item_backupper) takes it for a volume of another kind, and passes it by.
    unary(
      `${SERVICE}/GetVolumeID`,
      'generated.GetVolumeIDRequest',
      'generated.GetVolumeIDResponse',
      async ({ plugin }) => {
        registry.find(KIND, plugin)
        return { volumeID: '' }
      },
    ),
    unary(
      `${SERVICE}/CreateVolumeFromSnapshot`,
      'generated.CreateVolumeRequest',
      'generated.CreateVolumeResponse',
      async ({ plugin, snapshotID }) => {
        throw registry.find(KIND, plugin).refuse('restored', snapshotID)
      },
    ),
    unary(
      `${SERVICE}/DeleteSnapshot`,
      'generated.DeleteSnapshotRequest',
      'generated.Empty',
      async ({ plugin, snapshotID }) => {
        throw registry.find(KIND, plugin).refuse('deleted', snapshotID)
      },
    ),
  ]
}
