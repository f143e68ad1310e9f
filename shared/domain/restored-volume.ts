// A restore that Velero drives: Velero makes the claim, which waits for a volume whose name does not exist yet. When the data is complete,
// the staged disk gets a volume object with that name (docs/design/0003-velero.md).

import type { ObjectMeta } from '#shared/api/kinds.ts'
import { isObjectName } from '#shared/api/names.ts'
import type { ClaimRef, CloneFromSnapshot, PersistentVolume, PersistentVolumeClaim } from '#shared/api/types.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { CLONE_ANNOTATION, CLONE_LABEL, cloneReference } from './staging.ts'

/** On a CloneFromSnapshot: the volume that Velero's claim waits for. */
export const RESTORED_VOLUME_ANNOTATION = 'dormouse.dev/restored-volume'
/** The prefix of every such name, so that no clone can take the name of a volume that others have made. */
const OWN_NAMES = 'dormouse-'

/**
 * With this attribute, vSphere's CSI driver treats a volume as provisioned by itself, and would not put the disk back into its inventory
 * (vsphere-csi-driver, pkg/syncer, csiPVUpdated).
 */
const PROVISIONER_IDENTITY = 'storage.kubernetes.io/csiProvisionerIdentity'
const BOUND_BY_CONTROLLER = 'pv.kubernetes.io/bound-by-controller'

/** The volume object to create once the first one is gone. Between the two, no other record describes the disk. */
export type RestoredVolume = {
  /** UID of the waiting claim. */
  claimUID: string
  metadata: { name: string; labels?: Record<string, string>; annotations?: Record<string, string> }
  spec: PersistentVolume['spec'] & {
    claimRef: ClaimRef & { namespace: string; name: string }
    csi: NonNullable<PersistentVolume['spec']['csi']>
  }
}

/** undefined: the clone makes its claim itself. Throws TerminalError `VolumeNameInvalid`, because any user can write the annotation. */
export function awaitedVolumeName(clone: CloneFromSnapshot): string | undefined {
  const name = clone.metadata.annotations?.[RESTORED_VOLUME_ANNOTATION]
  if (name === undefined) return undefined
  if (isObjectName(name) && name.startsWith(OWN_NAMES)) return name
  throw new TerminalError(
    'VolumeNameInvalid',
    `the annotation ${RESTORED_VOLUME_ANNOTATION} is ${JSON.stringify(name).slice(0, 80)}: no name of a volume that a restore makes`,
  )
}

export function waitsFor(claim: PersistentVolumeClaim, volumeName: string): boolean {
  return claim.spec?.volumeName === volumeName
}

/** The staged disk's second volume object: `staged` under another name, reserved for `target`. */
export function restoredVolume(
  clone: CloneFromSnapshot,
  staged: PersistentVolume,
  target: { metadata: ObjectMeta; spec: { storageClassName?: string | undefined } },
  name: string,
): RestoredVolume {
  const { claimRef: _, csi, ...spec } = staged.spec
  if (csi === undefined)
    throw new TerminalError('DriverUnsupported', `PersistentVolume ${staged.metadata.name} has no CSI driver`)
  const { [PROVISIONER_IDENTITY]: _identity, ...volumeAttributes } = csi.volumeAttributes ?? {}
  const { [BOUND_BY_CONTROLLER]: _bound, ...annotations } = staged.metadata.annotations ?? {}
  const { storageClassName } = target.spec ?? {}
  return {
    claimUID: target.metadata.uid ?? '',
    metadata: {
      name,
      ...(staged.metadata.labels === undefined ? {} : { labels: staged.metadata.labels }),
      annotations: { ...annotations, [CLONE_ANNOTATION]: cloneReference(clone) },
    },
    spec: {
      ...spec,
      ...(storageClassName === undefined ? {} : { storageClassName }),
      persistentVolumeReclaimPolicy: 'Retain',
      csi: { ...csi, volumeAttributes },
      // Without a UID the volume is Available first, and only then do older drivers put the disk into their inventory.
      claimRef: {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        namespace: target.metadata.namespace ?? '',
        name: target.metadata.name,
      },
    },
  }
}

/** Annotations that name the owner, and the driver that deletes the volume. */
const NEEDED = /^(dormouse\.dev|pv\.kubernetes\.io|volume\.kubernetes\.io)\//

/** A volume object for the same disk with only the fields that its removal needs, so that no policy can reject the rest of the plan. */
export function bareVolume({ metadata: { name, labels, annotations }, spec }: RestoredVolume): PersistentVolume {
  const { driver, volumeHandle, volumeAttributes } = spec.csi
  const { capacity, storageClassName, volumeMode, claimRef } = spec
  const mark = labels?.[CLONE_LABEL]
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {
      name,
      ...(mark === undefined ? {} : { labels: { [CLONE_LABEL]: mark } }),
      annotations: Object.fromEntries(Object.entries(annotations ?? {}).filter(([key]) => NEEDED.test(key))),
    },
    spec: {
      ...(capacity === undefined ? {} : { capacity }),
      ...{ accessModes: ['ReadWriteOnce'], persistentVolumeReclaimPolicy: 'Retain', claimRef },
      ...(storageClassName === undefined ? {} : { storageClassName }),
      ...(volumeMode === undefined ? {} : { volumeMode }),
      csi: { driver, volumeHandle, ...(volumeAttributes === undefined ? {} : { volumeAttributes }) },
    },
  }
}

/** Checks the form in which `restoredVolume` writes it. */
export function isRestoredVolumePlan(value: unknown): value is RestoredVolume {
  const { claimUID, metadata, spec } = (value ?? {}) as Partial<RestoredVolume>
  return typeof claimUID === 'string' && isObjectName(metadata?.name) && typeof spec?.csi?.volumeHandle === 'string'
}

/** False: a volume that this restore did not make has the name. */
export function isRestoredVolume(volume: PersistentVolume, { spec }: RestoredVolume): boolean {
  const { csi, claimRef } = volume.spec ?? {}
  return (
    csi?.volumeHandle === spec.csi.volumeHandle &&
    claimRef?.namespace === spec.claimRef.namespace &&
    claimRef?.name === spec.claimRef.name
  )
}
