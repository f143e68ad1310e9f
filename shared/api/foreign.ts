// The kinds of Kubernetes, Velero and vSphere that Dormouse reads: only the fields that it reads or writes, each optional that the API
// may leave out. The API server has checked built-in kinds; of custom ones the types are what their own CRDs promise.

import type { Condition, ObjectMeta } from './kinds.ts'

/** What other kinds call a condition: without the fields that ours always have. */
type StatusCondition = Pick<Condition, 'type' | 'status'> & Partial<Condition>

type LabelRequirement = { key: string; operator: string; values?: string[] }

type LabelSelector = { matchLabels?: Record<string, string>; matchExpressions?: LabelRequirement[] }

/** A reference to the object that a volume is bound to, with as much as whoever wrote it knew. */
export type ClaimRef = {
  apiVersion?: string
  kind?: string
  namespace?: string
  name?: string
  uid?: string
  resourceVersion?: string
}

type NodeSelectorTerm = { matchExpressions?: LabelRequirement[]; matchFields?: LabelRequirement[] }

type NodeAffinity = { required?: { nodeSelectorTerms: NodeSelectorTerm[] } }

/** A quantity, such as `10Gi`. */
type Quantities = { storage?: string }

export type ReclaimPolicy = 'Retain' | 'Delete' | 'Recycle'

export type PersistentVolume = {
  apiVersion: 'v1'
  kind: 'PersistentVolume'
  metadata: ObjectMeta
  spec: {
    capacity?: Quantities
    accessModes?: string[]
    claimRef?: ClaimRef
    csi?: {
      driver: string
      volumeHandle: string
      fsType?: string
      readOnly?: boolean
      volumeAttributes?: Record<string, string>
    }
    /** Of the old in-tree driver. */
    vsphereVolume?: { volumePath: string; fsType?: string; readOnly?: boolean }
    mountOptions?: string[]
    nodeAffinity?: NodeAffinity
    persistentVolumeReclaimPolicy?: ReclaimPolicy
    storageClassName?: string
    volumeAttributesClassName?: string
    volumeMode?: string
  }
  status?: { phase?: string }
}

export type PersistentVolumeClaim = {
  apiVersion: 'v1'
  kind: 'PersistentVolumeClaim'
  metadata: ObjectMeta
  spec: {
    accessModes?: string[]
    dataSource?: unknown
    dataSourceRef?: unknown
    resources?: { limits?: Quantities; requests?: Quantities }
    selector?: unknown
    storageClassName?: string
    volumeAttributesClassName?: string
    volumeMode?: string
    volumeName?: string
  }
  status?: { phase?: string; capacity?: Quantities }
}

type VolumeUse = { name?: string }

type Container = {
  name?: string
  image?: string
  command?: string[]
  args?: string[]
  env?: { name: string; value?: string }[]
  volumeMounts?: VolumeUse[]
  volumeDevices?: VolumeUse[]
}

export type Pod = {
  apiVersion: 'v1'
  kind: 'Pod'
  metadata: ObjectMeta
  spec?: {
    nodeName?: string
    containers?: Container[]
    initContainers?: Container[]
    volumes?: { name?: string; persistentVolumeClaim?: { claimName?: string } }[]
  }
  status?: { phase?: string }
}

export type Node = {
  apiVersion: 'v1'
  kind: 'Node'
  metadata: ObjectMeta
  spec?: { unschedulable?: boolean; taints?: { key?: string; effect?: string }[] }
  status?: { conditions?: StatusCondition[] }
}

export type CSINode = {
  apiVersion: 'storage.k8s.io/v1'
  kind: 'CSINode'
  metadata: ObjectMeta
  spec?: { drivers?: { name: string; nodeID?: string; topologyKeys?: string[]; allocatable?: { count?: number } }[] }
}

/** `spec` has no place in it: the fields stand at the top. */
export type StorageClass = {
  apiVersion: 'storage.k8s.io/v1'
  kind: 'StorageClass'
  metadata: ObjectMeta
  provisioner?: string
  parameters?: Record<string, string>
  volumeBindingMode?: string
  reclaimPolicy?: string
  allowedTopologies?: { matchLabelExpressions?: { key: string; values: string[] }[] }[]
}

/** `data` is base64; `stringData` is only written. */
export type Secret = {
  apiVersion: 'v1'
  kind: 'Secret'
  metadata: ObjectMeta
  type?: string
  data?: Record<string, string>
  stringData?: Record<string, string>
}

export type ConfigMap = {
  apiVersion: 'v1'
  kind: 'ConfigMap'
  metadata: ObjectMeta
  data?: Record<string, string>
}

/** Of the core group. */
export type Event = {
  apiVersion: 'v1'
  kind: 'Event'
  metadata: ObjectMeta
  involvedObject: { apiVersion: string; kind: string; namespace?: string; name: string; uid?: string | undefined }
  reason?: string
  message?: string
  type?: string
  source?: { component?: string; host?: string }
  count?: number
  firstTimestamp?: string
  lastTimestamp?: string
  reportingComponent?: string
  reportingInstance?: string
}

/** Times are RFC 3339 with six decimals; a released one has no holder. */
export type Lease = {
  apiVersion: 'coordination.k8s.io/v1'
  kind: 'Lease'
  metadata: ObjectMeta
  spec?: {
    holderIdentity?: string
    leaseDurationSeconds?: number
    acquireTime?: string
    renewTime?: string
    leaseTransitions?: number
  }
}

export type Deployment = {
  apiVersion: 'apps/v1'
  kind: 'Deployment'
  metadata: ObjectMeta
  spec?: { template?: { spec?: { containers?: Container[] } } }
  status?: { conditions?: StatusCondition[] }
}

/** Of Velero, as are the next three. */
export type Backup = {
  apiVersion: 'velero.io/v1'
  kind: 'Backup'
  metadata: ObjectMeta
  spec?: {
    includedNamespaces?: string[]
    excludedNamespaces?: string[]
    includedResources?: string[]
    excludedResources?: string[]
    includedClusterScopedResources?: string[]
    excludedClusterScopedResources?: string[]
    includedNamespaceScopedResources?: string[]
    excludedNamespaceScopedResources?: string[]
    includeClusterResources?: boolean
    labelSelector?: LabelSelector
    orLabelSelectors?: LabelSelector[]
    snapshotVolumes?: boolean
    snapshotMoveData?: boolean
    defaultVolumesToFsBackup?: boolean
    itemOperationTimeout?: string
    resourcePolicy?: { kind?: string; name?: string }
    storageLocation?: string
    volumeSnapshotLocations?: string[]
  }
  status?: { phase?: string; startTimestamp?: string; completionTimestamp?: string }
}

export type Restore = {
  apiVersion: 'velero.io/v1'
  kind: 'Restore'
  metadata: ObjectMeta
  spec?: {
    backupName?: string
    includedNamespaces?: string[]
    excludedNamespaces?: string[]
    includedResources?: string[]
    excludedResources?: string[]
    labelSelector?: LabelSelector
    orLabelSelectors?: LabelSelector[]
    namespaceMapping?: Record<string, string>
    restorePVs?: boolean
    existingResourcePolicy?: string
    itemOperationTimeout?: string
  }
  status?: { phase?: string; startTimestamp?: string; completionTimestamp?: string }
}

export type DataUpload = {
  apiVersion: 'velero.io/v2alpha1'
  kind: 'DataUpload'
  metadata: ObjectMeta
  spec?: { sourceNamespace?: string; sourcePVC?: string }
}

export type BackupStorageLocation = {
  apiVersion: 'velero.io/v1'
  kind: 'BackupStorageLocation'
  metadata: ObjectMeta
  spec?: {
    provider?: string
    config?: Record<string, string>
    objectStorage?: {
      bucket?: string
      prefix?: string
      /** Base64 of PEM. */
      caCert?: string
      caCertRef?: { name?: string; key?: string }
    }
    credential?: { name?: string; key?: string }
    accessMode?: string
    default?: boolean
  }
  status?: { phase?: string; message?: string }
}

/** Of the snapshot controller. */
export type VolumeSnapshotClass = {
  apiVersion: 'snapshot.storage.k8s.io/v1'
  kind: 'VolumeSnapshotClass'
  metadata: ObjectMeta
  driver?: string
}

/** Of vSphere's CSI driver. */
export type CnsVSphereVolumeMigration = {
  apiVersion: 'cns.vmware.com/v1alpha1'
  kind: 'CnsVSphereVolumeMigration'
  metadata: ObjectMeta
  spec?: { volumepath?: string; volumeid?: string }
}
