// The kinds that Dormouse reads and writes: where the API server serves them.

export type ObjectMeta = {
  name: string
  namespace?: string
  uid?: string
  resourceVersion?: string
  generation?: number
  creationTimestamp?: string
  deletionTimestamp?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  finalizers?: string[]
  ownerReferences?: OwnerReference[]
}

export type OwnerReference = { apiVersion: string; kind: string; name: string; uid: string; controller?: boolean }

/** Any object as it stands in the API; `spec` and `status` are narrowed by the generated types. */
export type KubeObject = {
  apiVersion: string
  kind: string
  metadata: ObjectMeta
  // biome-ignore lint/suspicious/noExplicitAny: the shape depends on the kind; the generated types name it where it is read
  [field: string]: any
}

export type Condition = {
  type: string
  status: 'True' | 'False' | 'Unknown'
  reason: string
  message: string
  lastTransitionTime: string
  observedGeneration?: number
}

export type KindInfo = { apiVersion: string; plural: string; namespaced: boolean; statusSubresource: boolean }

const BACKUPDRIVER = 'backupdriver.cnsdp.vmware.com/v1alpha1'
const DATAMOVER = 'datamover.cnsdp.vmware.com/v1alpha1'

export const KINDS = {
  Snapshot: { apiVersion: BACKUPDRIVER, plural: 'snapshots', namespaced: true, statusSubresource: true },
  CloneFromSnapshot: {
    apiVersion: BACKUPDRIVER,
    plural: 'clonefromsnapshots',
    namespaced: true,
    statusSubresource: true,
  },
  DeleteSnapshot: { apiVersion: BACKUPDRIVER, plural: 'deletesnapshots', namespaced: true, statusSubresource: true },
  BackupRepository: {
    apiVersion: BACKUPDRIVER,
    plural: 'backuprepositories',
    namespaced: false,
    statusSubresource: false,
  },
  BackupRepositoryClaim: {
    apiVersion: BACKUPDRIVER,
    plural: 'backuprepositoryclaims',
    namespaced: true,
    statusSubresource: false,
  },
  Upload: { apiVersion: DATAMOVER, plural: 'uploads', namespaced: true, statusSubresource: false },
  Download: { apiVersion: DATAMOVER, plural: 'downloads', namespaced: true, statusSubresource: false },
  Lease: { apiVersion: 'coordination.k8s.io/v1', plural: 'leases', namespaced: true, statusSubresource: false },
  PersistentVolumeClaim: {
    apiVersion: 'v1',
    plural: 'persistentvolumeclaims',
    namespaced: true,
    statusSubresource: true,
  },
  PersistentVolume: { apiVersion: 'v1', plural: 'persistentvolumes', namespaced: false, statusSubresource: true },
  Secret: { apiVersion: 'v1', plural: 'secrets', namespaced: true, statusSubresource: false },
  ConfigMap: { apiVersion: 'v1', plural: 'configmaps', namespaced: true, statusSubresource: false },
  Event: { apiVersion: 'v1', plural: 'events', namespaced: true, statusSubresource: false },
  Pod: { apiVersion: 'v1', plural: 'pods', namespaced: true, statusSubresource: true },
  Node: { apiVersion: 'v1', plural: 'nodes', namespaced: false, statusSubresource: true },
  CSINode: { apiVersion: 'storage.k8s.io/v1', plural: 'csinodes', namespaced: false, statusSubresource: false },
  StorageClass: {
    apiVersion: 'storage.k8s.io/v1',
    plural: 'storageclasses',
    namespaced: false,
    statusSubresource: false,
  },
  /** Velero's own; not served where Velero is not installed. */
  BackupStorageLocation: {
    apiVersion: 'velero.io/v1',
    plural: 'backupstoragelocations',
    namespaced: true,
    statusSubresource: false,
  },
  Backup: { apiVersion: 'velero.io/v1', plural: 'backups', namespaced: true, statusSubresource: false },
  Restore: { apiVersion: 'velero.io/v1', plural: 'restores', namespaced: true, statusSubresource: false },
  /** Of Velero's own data mover; not served by Velero before 1.12. */
  DataUpload: { apiVersion: 'velero.io/v2alpha1', plural: 'datauploads', namespaced: true, statusSubresource: false },
  /** Of the snapshot controller; not served where there is none. */
  VolumeSnapshotClass: {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    plural: 'volumesnapshotclasses',
    namespaced: false,
    statusSubresource: false,
  },
  /** Of vSphere's CSI driver: the First Class Disk behind a volume of the old in-tree driver. */
  CnsVSphereVolumeMigration: {
    apiVersion: 'cns.vmware.com/v1alpha1',
    plural: 'cnsvspherevolumemigrations',
    namespaced: false,
    statusSubresource: false,
  },
  Deployment: { apiVersion: 'apps/v1', plural: 'deployments', namespaced: true, statusSubresource: true },
} as const satisfies Record<string, KindInfo>

export type KindName = keyof typeof KINDS
