// The kinds as TypeScript knows them, generated from config/crd, and the phases that their status can name.

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
