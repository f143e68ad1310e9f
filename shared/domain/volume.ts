// Which First Class Disk is behind a claim, and why some claims have none that Dormouse can back up.

import type { KubeObject } from '#shared/api/kinds.ts'
import { TerminalError } from '#shared/kernel/errors.ts'

export const CSI_DRIVER = 'csi.vsphere.vmware.com'

/** Only claims can be snapshotted; TerminalError `ResourceKindUnsupported` otherwise. */
export function requireClaimHandle(handle: { apiGroup?: string; kind?: string; name?: string } | undefined): string {
  const kind = handle?.kind ?? ''
  if (kind !== 'PersistentVolumeClaim' || (handle?.apiGroup ?? '') !== '') {
    const shown = [handle?.apiGroup, kind].filter((part) => part !== undefined && part !== '').join('/')
    throw new TerminalError(
      'ResourceKindUnsupported',
      `spec.resourceHandle names the kind ${JSON.stringify(shown)}: only PersistentVolumeClaim of the core group can be backed up`,
    )
  }
  if (handle?.name === undefined || handle.name === '') {
    throw new TerminalError(
      'ResourceKindUnsupported',
      'spec.resourceHandle.name is empty: name the PersistentVolumeClaim',
    )
  }
  return handle.name
}

/** The PV's name that a claim is bound to. */
export function requireBoundVolume(claim: KubeObject | undefined, where: string): string {
  if (claim === undefined) throw new TerminalError('ClaimNotFound', `PersistentVolumeClaim ${where} does not exist`)
  const volumeName = claim['spec']?.volumeName
  if (claim['status']?.phase !== 'Bound' || typeof volumeName !== 'string' || volumeName === '') {
    const phase = claim['status']?.phase ?? 'unknown'
    throw new TerminalError(
      'ClaimNotBound',
      `PersistentVolumeClaim ${where} is ${phase}, not Bound: it has no data to back up yet`,
    )
  }
  return volumeName
}

/** The FCD's id of a PV, or the reason why it has none. */
export function requireDisk(volume: KubeObject | undefined, name: string): string {
  if (volume === undefined) throw new TerminalError('VolumeNotFound', `PersistentVolume ${name} does not exist`)
  const csi = volume['spec']?.csi
  if (csi?.driver !== CSI_DRIVER) {
    const found = csi?.driver ?? 'no CSI driver'
    throw new TerminalError('DriverUnsupported', `PersistentVolume ${name} belongs to ${found}, not to ${CSI_DRIVER}`)
  }
  const handle = String(csi.volumeHandle ?? '')
  if (handle.startsWith('file:')) {
    throw new TerminalError(
      'FileVolumeUnsupported',
      `PersistentVolume ${name} is a vSAN file share: back it up with File System Backup`,
    )
  }
  const mode = volume['spec']?.accessModes?.[0]
  if (mode !== 'ReadWriteOnce' && mode !== 'ReadWriteOncePod') {
    throw new TerminalError(
      'AccessModeUnsupported',
      `PersistentVolume ${name} is ${mode}: only ReadWriteOnce disks have snapshots`,
    )
  }
  return handle
}
