// Which TypeScript type each kind of the registry has: ours generated from config/crd, those of others by hand.

import type * as foreign from './foreign.ts'
import type { BackupRepository } from './generated/backuprepositories.ts'
import type { BackupRepositoryClaim } from './generated/backuprepositoryclaims.ts'
import type { CloneFromSnapshot } from './generated/clonefromsnapshots.ts'
import type { DeleteSnapshot } from './generated/deletesnapshots.ts'
import type { Download } from './generated/downloads.ts'
import type { Snapshot } from './generated/snapshots.ts'
import type { Upload } from './generated/uploads.ts'
import type { KindName, ObjectMeta, SteppedKind } from './kinds.ts'

export type * from './foreign.ts'
export type { BackupRepository } from './generated/backuprepositories.ts'
export type { BackupRepositoryClaim } from './generated/backuprepositoryclaims.ts'
export {
  CLONE_FROM_SNAPSHOT_PHASES,
  type CloneFromSnapshot,
  type CloneFromSnapshotPhase,
} from './generated/clonefromsnapshots.ts'
export { DELETE_SNAPSHOT_PHASES, type DeleteSnapshot, type DeleteSnapshotPhase } from './generated/deletesnapshots.ts'
export { DOWNLOAD_PHASES, type Download, type DownloadPhase } from './generated/downloads.ts'
export { SNAPSHOT_PHASES, type Snapshot, type SnapshotPhase } from './generated/snapshots.ts'
export { UPLOAD_PHASES, type Upload, type UploadPhase } from './generated/uploads.ts'

export type KindTypes = {
  Snapshot: Snapshot
  Upload: Upload
  Download: Download
  CloneFromSnapshot: CloneFromSnapshot
  DeleteSnapshot: DeleteSnapshot
  BackupRepositoryClaim: BackupRepositoryClaim
  BackupRepository: BackupRepository
  Lease: foreign.Lease
  PersistentVolumeClaim: foreign.PersistentVolumeClaim
  PersistentVolume: foreign.PersistentVolume
  Secret: foreign.Secret
  ConfigMap: foreign.ConfigMap
  Event: foreign.Event
  Pod: foreign.Pod
  Node: foreign.Node
  CSINode: foreign.CSINode
  StorageClass: foreign.StorageClass
  BackupStorageLocation: foreign.BackupStorageLocation
  Backup: foreign.Backup
  Restore: foreign.Restore
  DataUpload: foreign.DataUpload
  VolumeSnapshotClass: foreign.VolumeSnapshotClass
  CnsVSphereVolumeMigration: foreign.CnsVSphereVolumeMigration
  Deployment: foreign.Deployment
}

/** What moves data, in slices and with a slot. */
export type TransferObject = Upload | Download

/** Any object that a function works on; `kind` tells which. */
export type SteppedObject = KindTypes[SteppedKind]

/**
 * A JSON merge patch of such an object (RFC 7386): fields that are left out, or undefined, stay as they are, null removes one, a list is
 * replaced as a whole.
 */
type Change<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [Field in keyof T]?: Change<T[Field]> | null | undefined }
    : T

/** A patch that fits each kind. */
export type MetadataChange = { metadata: Change<ObjectMeta> }

/** A patch of an object of that kind. Who made an object and what it is called cannot be changed. */
export type ChangeOf<Name extends KindName> = ChangeOfEach<KindTypes[Name]>
type ChangeOfEach<T> = T extends unknown ? Change<Omit<T, 'apiVersion' | 'kind'>> : never

/** The same of its status alone. */
export type StatusChangeOf<Name extends KindName> = Change<StatusOf<KindTypes[Name]>>
type StatusOf<T> = T extends { status?: infer Status } ? NonNullable<Status> : never
