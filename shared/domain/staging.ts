// The staged disk of a restore: the claim that provisions it, and the claim that gets its volume when the data is complete.

import { KINDS, type KubeObject, type OwnerReference } from '#shared/api/kinds.ts'
import { type NamespacedName, parseNamespacedName } from '#shared/api/names.ts'
import type { CloneFromSnapshot, Download, PersistentVolume, PersistentVolumeClaim } from '#shared/api/types.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import { diskModes } from './access-modes.ts'
import { SELECTED_NODE_ANNOTATION } from './node-choice.ts'
import { formatQuantity, parseQuantity } from './quantity.ts'

/** On the Download of a staged disk: the Download ends with its clone. `isZeroed` says whether zeros may be skipped. */
export const STAGED_ANNOTATION = 'dormouse.dev/staged'
/** On the staging claim: `<namespace>/<name>` of the clone that made it. */
export const CLONE_ANNOTATION = 'dormouse.dev/clone'
/** On the staging claim and on the claim that gets the volume, so that their binding wakes the clone function. */
export const CLONE_LABEL = 'dormouse.dev/clone-uid'

/** Annotations that describe the old volume's binding or health; on the new claim they would be wrong. */
const STALE_ANNOTATIONS = [
  'pv.kubernetes.io/bind-completed',
  'pv.kubernetes.io/bound-by-controller',
  'volume.beta.kubernetes.io/storage-provisioner',
  'volume.kubernetes.io/storage-provisioner',
  SELECTED_NODE_ANNOTATION,
  'volumehealth.storage.kubernetes.io/health',
  'volumehealth.storage.kubernetes.io/health-timestamp',
  'kubectl.kubernetes.io/last-applied-configuration',
]

/**
 * Kubernetes and vSphere's CSI driver use these annotations to decide where a disk is made, and of which class. On a staging claim,
 * Dormouse decides.
 */
const PROVISIONING = /^(pv|volume|volume\.beta)\.kubernetes\.io\/|^csi\.vsphere\./

/** The form in which the annotation and the Download name the clone. */
export function cloneReference({ metadata }: Pick<KubeObject, 'metadata'>): string {
  return `${metadata.namespace}/${metadata.name}`
}

/**
 * True if the Download was made by exactly this clone. The proof is the Download's own reference, in Velero's namespace, and its name,
 * which ends with the clone's UID. A tenant can write `status.downloadName`.
 */
export function isDownloadOf(
  { metadata, spec }: Pick<Download, 'metadata' | 'spec'>,
  clone: CloneFromSnapshot,
): boolean {
  const { uid } = clone.metadata
  const isNamed = spec?.clonefromSnapshotReference === cloneReference(clone)
  return isNamed && uid !== undefined && uid !== '' && metadata.name.endsWith(`-${uid}`)
}

export function stagingClaimName(clone: Pick<KubeObject, 'metadata'>): string {
  return `dormouse-${clone.metadata.uid}`
}

/** The clone that a claim names; undefined: none. Any user can write the annotation. */
export function clonePlaceOf({ metadata }: KubeObject): NamespacedName | undefined {
  return parseNamespacedName(metadata.annotations?.[CLONE_ANNOTATION])
}

export type Placement = {
  /** The clone's own namespace, or Velero's. */
  namespace: string
  storageClass: string
  /** Named on the claim, as the scheduler would do for a Pod. undefined: the class binds immediately. */
  selectedNode: string | undefined
}

/** A claim that makes the CSI driver provision a disk like the one that was backed up. */
export function stagingClaim(
  clone: CloneFromSnapshot,
  stored: PersistentVolumeClaim,
  { namespace, storageClass, selectedNode }: Placement,
): PersistentVolumeClaim {
  const isBeside = namespace === clone.metadata.namespace
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: stagingClaimName(clone),
      namespace,
      // A policy of the user's namespace may require labels or annotations on claims, so the staging claim gets those of the stored claim.
      // A tenant chose them, so they are not copied in Velero's namespace.
      labels: {
        ...(isBeside ? stored.metadata.labels : {}),
        [CLONE_LABEL]: clone.metadata.uid ?? '',
        'velero.io/exclude-from-backup': 'true',
      },
      // If the clone is removed by force, finalizer included, the garbage collector deletes the claim and with it its disk. An owner
      // reference only works within one namespace; in Velero's namespace the sweep looks for the claim.
      ...(isBeside ? { ownerReferences: [ownerOf(clone)] } : {}),
      annotations: {
        ...(isBeside ? annotationsBeside(stored) : {}),
        [CLONE_ANNOTATION]: cloneReference(clone),
        ...(selectedNode === undefined ? {} : { [SELECTED_NODE_ANNOTATION]: selectedNode }),
      },
    },
    // Set even if the stored claim leaves the class to the default, because the default may change a moment later.
    spec: { ...claimSpec(stored), accessModes: diskModes(stored.spec?.accessModes), storageClassName: storageClass },
  }
}

function keptAnnotations({ metadata }: KubeObject): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).filter(([key]) => !STALE_ANNOTATIONS.includes(key)),
  )
}

function annotationsBeside(stored: PersistentVolumeClaim): Record<string, string> {
  return Object.fromEntries(Object.entries(keptAnnotations(stored)).filter(([key]) => !PROVISIONING.test(key)))
}

function ownerOf({ metadata: { name, uid = '' } }: KubeObject): OwnerReference {
  return { apiVersion: KINDS.CloneFromSnapshot.apiVersion, kind: 'CloneFromSnapshot', name, uid }
}

/** The claim as its owner had it, bound to exactly the volume that was filled. */
export function restoredClaim(
  clone: CloneFromSnapshot,
  stored: PersistentVolumeClaim,
  volume: PersistentVolume,
): PersistentVolumeClaim {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: stored.metadata.name,
      namespace: clone.metadata.namespace ?? '',
      labels: { ...stored.metadata.labels, [CLONE_LABEL]: clone.metadata.uid ?? '' },
      annotations: { ...keptAnnotations(stored), [CLONE_ANNOTATION]: cloneReference(clone) },
    },
    // The claim needs the volume's class, or the two are never bound: the default may have changed. It needs the volume's size, because a
    // quota counts the request.
    spec: {
      ...claimSpec(asksForBytes(stored, beyondRounding(stored, volume))),
      storageClassName: volume.spec.storageClassName ?? '',
      volumeName: volume.metadata.name,
    },
  }
}

/** The claim with a request for at least this many bytes. */
export function asksForBytes(claim: PersistentVolumeClaim, bytes: number): PersistentVolumeClaim {
  const { requests } = claim.spec?.resources ?? {}
  if (requests?.storage === undefined || (parseQuantity(requests.storage) ?? 0) >= bytes) return claim
  return {
    ...claim,
    spec: { ...claim.spec, resources: { requests: { ...requests, storage: formatQuantity(bytes) } } },
  }
}

/**
 * The size in bytes of a volume that is larger than the claim requires, except for rounding: drivers round up to whole MiB. 0: it is not
 * larger.
 */
function beyondRounding(claim: PersistentVolumeClaim, volume: PersistentVolume): number {
  const [asked = 0, has = 0] = [claim.spec?.resources?.requests?.storage, volume.spec.capacity?.storage].map(
    parseQuantity,
  )
  return has > Math.ceil(asked / MiB) * MiB ? has : 0
}

/** The fields of the old spec that also apply to a new disk, without the old volume, selector and data source. */
function claimSpec(stored: PersistentVolumeClaim): PersistentVolumeClaim['spec'] {
  const { accessModes, resources, storageClassName, volumeMode, volumeAttributesClassName } = stored.spec ?? {}
  if (resources?.requests?.storage === undefined)
    throw new TerminalError('MetadataInvalid', 'the stored claim asks for no storage')
  return {
    accessModes: accessModes ?? ['ReadWriteOnce'],
    resources: { requests: { storage: resources.requests.storage } },
    ...(storageClassName === undefined ? {} : { storageClassName }),
    ...(volumeMode === undefined ? {} : { volumeMode }),
    ...(volumeAttributesClassName === undefined ? {} : { volumeAttributesClassName }),
  }
}

/** True if the claim was made by exactly this clone. */
export function isOwnClaim(claim: PersistentVolumeClaim, clone: CloneFromSnapshot): boolean {
  return claim.metadata.labels?.[CLONE_LABEL] === clone.metadata.uid
}
