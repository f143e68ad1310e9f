// Decides whether a volume is new or Kubernetes bound an existing one, and which volumes Kubernetes would bind. A binding to our claim
// proves nothing: Kubernetes binds a fitting existing volume before it provisions one.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { PersistentVolume, PersistentVolumeClaim } from '#shared/api/types.ts'
import { parseQuantity } from './quantity.ts'
import { CSI_DRIVER } from './volume.ts'

/** external-provisioner (sig-storage-lib, controller.go) sets it on each volume that it has provisioned. */
const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by'

/**
 * external-provisioner names a volume `<prefix>-<UID of the claim>`, so a volume with such a name cannot be older than the claim. The name
 * and the API server's own fields are the proof, because no tenant can write a PersistentVolume.
 */
export function isProvisionedFor(
  volume: PersistentVolume,
  { metadata: { namespace, name, uid = '' } }: KubeObject,
): boolean {
  return (
    uid !== '' &&
    volume.metadata.name.endsWith(`-${uid}`) &&
    volume.metadata.annotations?.[PROVISIONED_BY] === CSI_DRIVER &&
    isOfClaim(volume, { namespace, name, uid })
  )
}

export function isOfClaim(
  volume: PersistentVolume,
  claim: { namespace?: string | undefined; name: string; uid?: string | undefined },
): boolean {
  const { namespace, name, uid } = volume.spec?.claimRef ?? {}
  return namespace === claim.namespace && name === claim.name && uid === claim.uid
}

/**
 * The criteria of Kubernetes for a binding (pv_controller, FindMatchingVolume). A volume that cannot be judged by these fields counts as
 * fitting.
 */
export function fits(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  const [has, wants] = [volume.spec ?? {}, claim.spec ?? {}]
  const modes: readonly string[] = has.accessModes ?? []
  const isFree = has.claimRef === undefined && volume.metadata.deletionTimestamp === undefined
  return (
    isFree &&
    classOfVolume(volume) === (wants.storageClassName ?? '') &&
    (has.volumeMode ?? 'Filesystem') === (wants.volumeMode ?? 'Filesystem') &&
    (wants.accessModes ?? []).every((mode: string) => modes.includes(mode)) &&
    !isSmaller(has.capacity?.storage, wants.resources?.requests?.storage)
  )
}

/** The annotation is the older form and has precedence. */
function classOfVolume({ metadata, ...volume }: PersistentVolume): string {
  return metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? volume.spec?.storageClassName ?? ''
}

function isSmaller(has: unknown, wants: unknown): boolean {
  const [hasBytes, wantsBytes] = [parseQuantity(has), parseQuantity(wants)]
  return hasBytes !== undefined && wantsBytes !== undefined && hasBytes < wantsBytes
}
