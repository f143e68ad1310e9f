// The kinds that Dormouse reads and writes: where the API server serves them, which function works on them, who announces them.

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

/** What every object in the API has. `read('Upload', …)` gives the kind's own type (shared/api/types.ts); a type is no proof of what a stranger wrote. */
export type KubeObject = {
  apiVersion: string
  kind: string
  metadata: ObjectMeta
  spec?: unknown
  status?: unknown
}

export type Condition = {
  type: string
  status: 'True' | 'False' | 'Unknown'
  reason: string
  message: string
  lastTransitionTime: string
  observedGeneration?: number
}

export type KindInfo = {
  /** '' is the core group. Group and kind together name a kind: KubeStash has a Snapshot, too, and Velero a BackupRepository. */
  group: string
  version: string
  /** `<group>/<version>`, as an object has it. */
  apiVersion: string
  kind: string
  plural: string
  namespaced: boolean
  statusSubresource: boolean
  /** The function that works on it; the sweep looks at every kind that has one. */
  step?: Step
  /** The ApiServerSource in eventing/sources that announces it. */
  source?: 'requests' | 'transfers'
}

/** Functions that work on an object; each is a value of the step label. */
export const STEPS = ['snapshot', 'upload', 'download', 'clone', 'delete', 'repository'] as const
export type Step = (typeof STEPS)[number]

const BACKUPDRIVER = inGroup('backupdriver.cnsdp.vmware.com', 'v1alpha1')
const DATAMOVER = inGroup('datamover.cnsdp.vmware.com', 'v1alpha1')
const CORE = { group: '', version: 'v1', apiVersion: 'v1' } as const
const STORAGE = inGroup('storage.k8s.io', 'v1')
const VELERO = inGroup('velero.io', 'v1')

function inGroup<const Group extends string, const Version extends string>(group: Group, version: Version) {
  const apiVersion: `${Group}/${Version}` = `${group}/${version}`
  return { group, version, apiVersion } as const
}

const NAMESPACED = { namespaced: true, statusSubresource: false } as const
const NAMESPACED_WITH_STATUS = { namespaced: true, statusSubresource: true } as const
const CLUSTER_WIDE = { namespaced: false, statusSubresource: false } as const
const CLUSTER_WIDE_WITH_STATUS = { namespaced: false, statusSubresource: true } as const

/**
 * The registry. A kind is known by its name alone; one whose name another group has taken before is `<kind>.<group>` here, and `kind` says
 * how the API server calls it. Those with a step stand in the order in which work flows.
 */
export const KINDS = {
  Snapshot: {
    ...BACKUPDRIVER,
    kind: 'Snapshot',
    plural: 'snapshots',
    ...NAMESPACED_WITH_STATUS,
    step: 'snapshot',
    source: 'requests',
  },
  Upload: { ...DATAMOVER, kind: 'Upload', plural: 'uploads', ...NAMESPACED, step: 'upload', source: 'transfers' },
  Download: {
    ...DATAMOVER,
    kind: 'Download',
    plural: 'downloads',
    ...NAMESPACED,
    step: 'download',
    source: 'transfers',
  },
  CloneFromSnapshot: {
    ...BACKUPDRIVER,
    kind: 'CloneFromSnapshot',
    plural: 'clonefromsnapshots',
    ...NAMESPACED_WITH_STATUS,
    step: 'clone',
    source: 'requests',
  },
  DeleteSnapshot: {
    ...BACKUPDRIVER,
    kind: 'DeleteSnapshot',
    plural: 'deletesnapshots',
    ...NAMESPACED_WITH_STATUS,
    step: 'delete',
    source: 'requests',
  },
  BackupRepositoryClaim: {
    ...BACKUPDRIVER,
    kind: 'BackupRepositoryClaim',
    plural: 'backuprepositoryclaims',
    ...NAMESPACED,
    step: 'repository',
    source: 'requests',
  },
  BackupRepository: { ...BACKUPDRIVER, kind: 'BackupRepository', plural: 'backuprepositories', ...CLUSTER_WIDE },
  Lease: { ...inGroup('coordination.k8s.io', 'v1'), kind: 'Lease', plural: 'leases', ...NAMESPACED },
  /** Announced where a restore made it: the clone function waits until it is bound. */
  PersistentVolumeClaim: {
    ...CORE,
    kind: 'PersistentVolumeClaim',
    plural: 'persistentvolumeclaims',
    ...NAMESPACED_WITH_STATUS,
    source: 'requests',
  },
  PersistentVolume: { ...CORE, kind: 'PersistentVolume', plural: 'persistentvolumes', ...CLUSTER_WIDE_WITH_STATUS },
  Secret: { ...CORE, kind: 'Secret', plural: 'secrets', ...NAMESPACED },
  ConfigMap: { ...CORE, kind: 'ConfigMap', plural: 'configmaps', ...NAMESPACED },
  Event: { ...CORE, kind: 'Event', plural: 'events', ...NAMESPACED },
  Pod: { ...CORE, kind: 'Pod', plural: 'pods', ...NAMESPACED_WITH_STATUS },
  Node: { ...CORE, kind: 'Node', plural: 'nodes', ...CLUSTER_WIDE_WITH_STATUS },
  CSINode: { ...STORAGE, kind: 'CSINode', plural: 'csinodes', ...CLUSTER_WIDE },
  StorageClass: { ...STORAGE, kind: 'StorageClass', plural: 'storageclasses', ...CLUSTER_WIDE },
  /** Velero's own; not served where Velero is not installed. */
  BackupStorageLocation: {
    ...VELERO,
    kind: 'BackupStorageLocation',
    plural: 'backupstoragelocations',
    ...NAMESPACED,
  },
  Backup: { ...VELERO, kind: 'Backup', plural: 'backups', ...NAMESPACED },
  Restore: { ...VELERO, kind: 'Restore', plural: 'restores', ...NAMESPACED },
  /** Of Velero's own data mover; not served by Velero before 1.12. */
  DataUpload: { ...inGroup('velero.io', 'v2alpha1'), kind: 'DataUpload', plural: 'datauploads', ...NAMESPACED },
  /** Of the snapshot controller; not served where there is none. */
  VolumeSnapshotClass: {
    ...inGroup('snapshot.storage.k8s.io', 'v1'),
    kind: 'VolumeSnapshotClass',
    plural: 'volumesnapshotclasses',
    ...CLUSTER_WIDE,
  },
  /** Of vSphere's CSI driver: the First Class Disk behind a volume of the old in-tree driver. */
  CnsVSphereVolumeMigration: {
    ...inGroup('cns.vmware.com', 'v1alpha1'),
    kind: 'CnsVSphereVolumeMigration',
    plural: 'cnsvspherevolumemigrations',
    ...CLUSTER_WIDE,
  },
  Deployment: { ...inGroup('apps', 'v1'), kind: 'Deployment', plural: 'deployments', ...NAMESPACED_WITH_STATUS },
} as const satisfies Record<string, KindInfo>

type Registry = typeof KINDS
export type KindName = keyof Registry
/** Kinds that a function works on. */
export type SteppedKind = { [Name in KindName]: Registry[Name] extends { step: Step } ? Name : never }[KindName]

/** In the order in which work flows. */
export const STEPPED_KINDS = (Object.keys(KINDS) as KindName[]).filter(
  (name): name is SteppedKind => 'step' in KINDS[name],
)
