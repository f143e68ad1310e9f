// The Velero Plugin for vSphere's interface, kind by kind: fields (Dormouse has more, below status), required fields, phases ('' is written as -).
// Source: the CRDs and Go types of velero-plugin-for-vsphere, pkg/generated/crds and pkg/apis.

type Peer = { fields: string[]; required: string[]; phases: string[] | undefined }

function words(text: string): string[] {
  return text
    .trim()
    .split(/\s+/)
    .map((word) => (word === '-' ? '' : word))
}

export const PEER = {
  BackupRepository: {
    fields: words(`
      allowedNamespaces repositoryDriver repopsitoryParameters backupRepositoryClaim svcBackupRepositoryName
    `),
    required: words('allowedNamespaces repositoryDriver repopsitoryParameters backupRepositoryClaim'),
    phases: undefined,
  },
  BackupRepositoryClaim: {
    fields: words('allowedNamespaces repositoryDriver repopsitoryParameters backupRepository'),
    required: words('repositoryDriver repopsitoryParameters'),
    phases: undefined,
  },
  Snapshot: {
    fields: words(`
      spec.resourceHandle.apiGroup spec.resourceHandle.kind spec.resourceHandle.name spec.backupRepository
      spec.snapshotCancel status.phase status.message status.progress.totalBytes status.progress.bytesDone
      status.snapshotID status.svcSnapshotName status.metadata status.completionTimestamp
    `),
    required: words(`
      spec spec.resourceHandle spec.resourceHandle.kind spec.resourceHandle.name spec.backupRepository
    `),
    phases: words(`
      - New InProgress Snapshotted SnapshotFailed Uploading Uploaded UploadFailed Canceling Canceled
      CleanupAfterUploadFailed UploadFailedAfterRetry
    `),
  },
  CloneFromSnapshot: {
    fields: words(`
      spec.snapshotID spec.metadata spec.apiGroup spec.kind spec.backupRepository spec.cloneCancel status.phase
      status.message status.resourceHandle.apiGroup status.resourceHandle.kind status.resourceHandle.name
      status.completionTimestamp
    `),
    required: words('spec spec.snapshotID spec.apiGroup spec.kind spec.backupRepository spec.cloneCancel'),
    phases: words('- New InProgress Completed Retry Failed Canceling Canceled'),
  },
  DeleteSnapshot: {
    fields: words(`
      spec.snapshotID spec.backupRepository status.phase status.message status.completionTimestamp
    `),
    required: words('spec spec.snapshotID spec.backupRepository'),
    phases: words('- New InProgress Completed Failed'),
  },
  Upload: {
    fields: words(`
      spec.snapshotID spec.backupTimestamp spec.uploadCancel spec.backupRepository spec.snapshotReference
      status.phase status.message status.startTimestamp status.completionTimestamp status.progress.totalBytes
      status.progress.bytesDone status.processingNode status.retryCount status.nextRetryTimestamp
      status.currentBackOff
    `),
    required: words('spec'),
    phases: words(`
      New InProgress Completed UploadError CleanupFailed Canceling Canceled UploadFailedAfterRetry
    `),
  },
  Download: {
    fields: words(`
      spec.snapshotID spec.restoreTimestamp spec.protectedEntityID spec.backupRepositoryName
      spec.clonefromSnapshotReference status.phase status.message status.startTimestamp status.completionTimestamp
      status.progress.totalBytes status.progress.bytesDone status.processingNode status.retryCount
      status.nextRetryTimestamp status.volumeID
    `),
    required: words('spec'),
    phases: words('New InProgress Completed Retry Failed'),
  },
} as const satisfies Record<string, Peer>
