// Which claims are backed up as disks, and which are left out with a reason that the user sees.

import type { Backup, PersistentVolume, PersistentVolumeClaim } from '#shared/api/types.ts'
import { CSI_DRIVER, isMigrated, requireDisk } from '#shared/domain/volume.ts'
import { TerminalError } from '#shared/kernel/errors.ts'

export type ClaimSeen = {
  claim: PersistentVolumeClaim
  /** The PV that the claim names; undefined: there is none. */
  volume: PersistentVolume | undefined
  /** The pod through which File System Backup takes it, by name; undefined: there is none. */
  fileSystemPod: string | undefined
  /** A volume policy that may nevertheless keep File System Backup from it, by name; undefined: there is none. */
  doubtfulPolicy: string | undefined
  backup: Backup
  /** `csi-migrated-volume-support` of the feature states. */
  csiMigration: boolean
}

export type ClaimDecision =
  /** `doubt`: File System Backup may back it up, too. */
  | { kind: 'take'; volumeName: string; doubt?: { reason: string; message: string } }
  /** Velero still backs up the object. `warn`: the user may believe that its data is safe, too. */
  | { kind: 'skip'; level: 'info' | 'warn'; reason: string; message: string }
  | { kind: 'fail'; reason: string; message: string }

export function decideClaim(seen: ClaimSeen): ClaimDecision {
  return withoutVolume(seen) ?? byFileSystem(seen) ?? inDoubt(seen, byVolume(seen))
}

/** Decides the cases that need neither pods nor PV; `undefined`: not decided yet. */
export function withoutVolume({ claim, backup }: Pick<ClaimSeen, 'claim' | 'backup'>): ClaimDecision | undefined {
  if (backup.spec?.snapshotVolumes === false) {
    return skip('info', { reason: 'SnapshotsDisabled', message: 'the Backup says snapshotVolumes: false' })
  }
  const phase = claim.status?.phase
  if (phase === 'Lost') {
    const lost = {
      reason: 'VolumeNotFound',
      message: `its PersistentVolume ${nameOf(claim)} is gone: its data is lost`,
    }
    return { kind: 'fail', ...lost }
  }
  if (phase === 'Bound' && nameOf(claim) !== '') return undefined
  return skip('warn', {
    reason: 'ClaimNotBound',
    message: `it is ${phase ?? 'unknown'}, not Bound: it has no data yet`,
  })
}

function byFileSystem({ fileSystemPod, doubtfulPolicy }: ClaimSeen): ClaimDecision | undefined {
  if (fileSystemPod === undefined || doubtfulPolicy !== undefined) return undefined
  const message = `File System Backup takes it, through pod ${fileSystemPod}`
  return skip('info', { reason: 'FileSystemBackup', message })
}

/**
 * Two backups are better than none: a disk that can be taken is taken. For a disk that cannot, the message does not claim that File
 * System Backup takes it.
 */
function inDoubt({ fileSystemPod, doubtfulPolicy }: ClaimSeen, decision: ClaimDecision): ClaimDecision {
  if (fileSystemPod === undefined || doubtfulPolicy === undefined || decision.kind === 'fail') return decision
  const reason = 'FileSystemBackupUnsure'
  const given = `pod ${fileSystemPod} gives it to File System Backup, and the volume policies in ConfigMap ${doubtfulPolicy} may keep it from there`
  if (decision.kind === 'skip') return skip('warn', { reason, message: `${given}; ${decision.message}` })
  return { ...decision, doubt: { reason, message: `${given}: it is taken as a disk, too` } }
}

function byVolume(seen: ClaimSeen): ClaimDecision {
  const { claim, volume, csiMigration } = seen
  const volumeName = nameOf(claim)
  if (volume === undefined) {
    return { kind: 'fail', reason: 'VolumeNotFound', message: `PersistentVolume ${volumeName} does not exist` }
  }
  if (volume.spec?.vsphereVolume !== undefined) return inTree(volume, volumeName, csiMigration)
  if (volume.spec?.csi?.driver === CSI_DRIVER && !isHandle(volume.spec.csi.volumeHandle)) {
    return { kind: 'fail', reason: 'VolumeNotFound', message: `PersistentVolume ${volumeName} names no disk` }
  }
  try {
    requireDisk(volume, volumeName)
    return { kind: 'take', volumeName }
  } catch (error) {
    if (!(error instanceof TerminalError)) throw error
    return { kind: 'skip', level: 'warn', reason: error.reason, message: error.message }
  }
}

/** A disk of the old in-tree driver. It is a First Class Disk only after the CSI driver has taken it over. */
function inTree(volume: PersistentVolume, volumeName: string, csiMigration: boolean): ClaimDecision {
  const migrated = isMigrated(volume)
  if (migrated && csiMigration) return { kind: 'take', volumeName }
  if (csiMigration) {
    const message = `PersistentVolume ${volumeName} is of the in-tree driver and not migrated to ${CSI_DRIVER}`
    return { kind: 'fail', reason: 'DriverUnsupported', message }
  }
  const advice = migrated
    ? 'set csi-migrated-volume-support to "true" in the ConfigMap velero-vsphere-plugin-feature-states'
    : `migrate it to ${CSI_DRIVER}`
  const message = `PersistentVolume ${volumeName} is of the in-tree driver: ${advice}`
  return skip('warn', { reason: 'DriverUnsupported', message })
}

function skip(level: 'info' | 'warn', { reason, message }: { reason: string; message: string }): ClaimDecision {
  return { kind: 'skip', level, reason, message }
}

function nameOf(claim: PersistentVolumeClaim): string {
  const volumeName = claim.spec?.volumeName
  return typeof volumeName === 'string' ? volumeName : ''
}

function isHandle(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}
