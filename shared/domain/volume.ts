// Finds the First Class Disk behind a claim, and explains why some claims have none that Dormouse can back up.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { CnsVSphereVolumeMigration, PersistentVolume, PersistentVolumeClaim } from '#shared/api/types.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { writerMode } from './access-modes.ts'

export const CSI_DRIVER = 'csi.vsphere.vmware.com'
const MIGRATED_ANNOTATION = 'pv.kubernetes.io/migrated-to'

/** Only claims can be snapshotted. Throws TerminalError `ResourceKindUnsupported` for other kinds. */
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

/** A claim that names the PersistentVolume that it is bound to. */
type BoundClaim = PersistentVolumeClaim & { spec: { volumeName: string } }

/** Throws TerminalErrors `ClaimNotFound` and `ClaimNotBound`. */
export function requireBoundClaim(claim: PersistentVolumeClaim | undefined, where: string): BoundClaim {
  if (claim === undefined) throw new TerminalError('ClaimNotFound', `PersistentVolumeClaim ${where} does not exist`)
  if (isBound(claim)) return claim
  const phase = claim.status?.phase ?? 'unknown'
  throw new TerminalError(
    'ClaimNotBound',
    `PersistentVolumeClaim ${where} is ${phase}, not Bound: it has no data to back up yet`,
  )
}

/** Any user can write a claim and its status. */
function isBound(claim: PersistentVolumeClaim): claim is BoundClaim {
  const volumeName: unknown = claim.spec?.volumeName
  return claim.status?.phase === 'Bound' && typeof volumeName === 'string' && volumeName !== ''
}

/**
 * Throws TerminalError `VolumeOfAnotherClaim` unless the volume itself names the claim. A user who can write a claim and its status can
 * name any volume there, but only Kubernetes writes the claim into the volume.
 */
export function requireOwnVolume(volume: PersistentVolume | undefined, claim: PersistentVolumeClaim): void {
  if (volume === undefined || isVolumeOf(volume, claim)) return
  const { namespace, name } = claim.metadata
  throw new TerminalError(
    'VolumeOfAnotherClaim',
    `PersistentVolume ${volume.metadata.name} is not bound to PersistentVolumeClaim ${namespace}/${name}, whatever the claim says`,
  )
}

export function isVolumeOf(volume: PersistentVolume, { metadata }: KubeObject): boolean {
  const { namespace, name, uid } = volume.spec?.claimRef ?? {}
  return uid !== undefined && uid === metadata.uid && name === metadata.name && namespace === metadata.namespace
}

/** Every volume that belongs, or may belong, to that disk. `migrations`: all of them, if one of the volumes is migrated. */
export function volumesOfDisk(
  fcdId: string,
  volumes: readonly PersistentVolume[],
  migrations: readonly CnsVSphereVolumeMigration[],
): PersistentVolume[] {
  return volumes.filter((volume) => {
    if (isMigrated(volume)) return disksAt(volume, migrations).includes(fcdId)
    const { driver, volumeHandle } = volume.spec?.csi ?? {}
    return driver === CSI_DRIVER && volumeHandle === fcdId
  })
}

/**
 * True if one of the disk's volumes is bound to an existing claim of that namespace, and every other volume of the disk belongs to that
 * namespace too. A disk may have got another volume object since it was given away, and the old object, kept by `Retain`, describes an
 * earlier state.
 */
export function isDiskIn(
  namespace: string,
  volumes: readonly PersistentVolume[],
  claims: readonly (KubeObject | undefined)[],
): boolean {
  const isOwn = volumes.every((volume) => volume.spec?.claimRef?.namespace === namespace)
  const isBound = (volume: PersistentVolume) =>
    volume.status?.phase === 'Bound' && claims.some((claim) => claim !== undefined && isVolumeOf(volume, claim))
  return isOwn && volumes.some(isBound)
}

/** Throws TerminalError `VolumeNotFound`. */
export function requireVolume(volume: PersistentVolume | undefined, name: string): PersistentVolume {
  if (volume === undefined) throw new TerminalError('VolumeNotFound', `PersistentVolume ${name} does not exist`)
  return volume
}

/** The FCD id of a PersistentVolume, or an error that says why it has none. */
export function requireDisk(volume: PersistentVolume, name: string): string {
  const csi = volume.spec?.csi
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
  const modes: unknown = volume.spec?.accessModes
  if (writerMode(modes) === undefined) {
    throw new TerminalError(
      'AccessModeUnsupported',
      `PersistentVolume ${name} is ${Array.isArray(modes) ? modes.join(', ') : modes}: only ReadWriteOnce disks have snapshots`,
    )
  }
  return handle
}

/** A volume of the old in-tree driver that CSI has taken over. It has a First Class Disk that the volume itself does not name. */
export function isMigrated(volume: PersistentVolume | undefined): boolean {
  return volume?.spec?.vsphereVolume !== undefined && volume.metadata.annotations?.[MIGRATED_ANNOTATION] === CSI_DRIVER
}

/**
 * The FCD id of a migrated volume, from the list of all CnsVSphereVolumeMigrations. undefined: no migration has its path, or several disks
 * have.
 */
export function findMigratedDisk(
  volume: PersistentVolume,
  migrations: readonly CnsVSphereVolumeMigration[],
): string | undefined {
  const [disk, ...more] = disksAt(volume, migrations)
  return more.length === 0 ? disk : undefined
}

/** A path begins with the name of a datastore, which is unique only within a datacenter. */
function disksAt(volume: PersistentVolume, migrations: readonly CnsVSphereVolumeMigration[]): string[] {
  const path: unknown = volume.spec.vsphereVolume?.volumePath
  const disks = migrations.filter(({ spec }) => spec?.volumepath === path).map(({ spec }) => spec?.volumeid)
  return [...new Set(disks.filter((disk): disk is string => typeof disk === 'string' && disk !== ''))]
}

/**
 * Throws TerminalError `VolumeNotFound` if the driver has no record of the volume, `VolumeAmbiguous` if it has records of several disks.
 */
export function requireMigratedDisk(
  volume: PersistentVolume,
  migrations: readonly CnsVSphereVolumeMigration[],
): string {
  const disks = disksAt(volume, migrations)
  const [disk, ...more] = disks
  const path = volume.spec.vsphereVolume?.volumePath
  if (more.length > 0)
    throw new TerminalError(
      'VolumeAmbiguous',
      `PersistentVolume ${volume.metadata.name} has the path ${path}, which CnsVSphereVolumeMigrations give to ${disks.length} disks: nobody can tell which of them is its own`,
    )
  if (disk !== undefined) return disk
  throw new TerminalError(
    'VolumeNotFound',
    `PersistentVolume ${volume.metadata.name} is migrated to ${CSI_DRIVER}, but no CnsVSphereVolumeMigration has its path ${path}: does the driver run?`,
  )
}
