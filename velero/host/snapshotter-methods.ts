// generated.VolumeSnapshotter: its answers make Velero take no snapshot through it, and explain why it cannot use an old one.

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
    // No id: Velero (pkg/backup, item_backupper) takes the volume for one of another kind, and skips it.
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
