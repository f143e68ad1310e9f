// Is a volume new, or did Kubernetes bind one that was there before? And which volumes would it bind? Bound to our claim proves nothing:
// a claim is bound to an existing volume that fits before one is provisioned.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { PersistentVolume, PersistentVolumeClaim } from '#shared/api/types.ts'
import { parseQuantity } from './quantity.ts'
import { CSI_DRIVER } from './volume.ts'

/** external-provisioner (sig-storage-lib, controller.go) sets it on each volume that it has provisioned. */
export const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by'

/**
 * external-provisioner names a volume `<prefix>-<UID of the claim>`: one of such a name cannot have been there before the claim. The name
 * and the API server's own fields are the proof, as no tenant can write a PersistentVolume.
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
  claim: { namespace: string | undefined; name: string; uid: string | undefined },
): boolean {
  const { namespace, name, uid } = volume.spec?.claimRef ?? {}
  return namespace === claim.namespace && name === claim.name && uid === claim.uid
}

/** What Kubernetes looks at when it binds (pv_controller, FindMatchingVolume); what it cannot tell from these fields counts as fitting. */
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

/** The annotation is the older way to say it, and goes first. */
function classOfVolume({ metadata, ...volume }: PersistentVolume): string {
  return metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? volume.spec?.storageClassName ?? ''
}

function isSmaller(has: unknown, wants: unknown): boolean {
  const [hasBytes, wantsBytes] = [parseQuantity(has), parseQuantity(wants)]
  return hasBytes !== undefined && wantsBytes !== undefined && hasBytes < wantsBytes
}
