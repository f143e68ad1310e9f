// The volume behind the claim of a Snapshot, and its disk.

import { isObjectName } from '#shared/api/names.ts'
import type { PersistentVolume, PersistentVolumeClaim, Snapshot } from '#shared/api/types.ts'
import type { VolumeDeps } from '#shared/controllers/deps.ts'
import { detectFlavor, requireOwnDisks } from '#shared/domain/flavor.ts'
import {
  findMigratedDisk,
  isMigrated,
  isVolumeOf,
  requireBoundClaim,
  requireClaimHandle,
  requireDisk,
  requireMigratedDisk,
  requireOwnVolume,
  requireVolume,
} from '#shared/domain/volume.ts'
import { TerminalError } from '#shared/kernel/errors.ts'

/** Read for each snapshot, because the ConfigMap may be applied later than the functions. */
async function requireReachableDisks(deps: VolumeDeps): Promise<void> {
  const config = await deps.cluster.read('ConfigMap', deps.settings.veleroNamespace, 'velero-vsphere-plugin-config')
  const controller = await deps.cluster.read('Deployment', 'vmware-system-csi', 'vsphere-csi-controller')
  requireOwnDisks(detectFlavor(config, controller))
}

export async function resolveTarget(
  deps: VolumeDeps,
  snapshot: Snapshot,
): Promise<{ claim: PersistentVolumeClaim; volume: PersistentVolume; fcdId: string }> {
  const name = requireClaimHandle(snapshot.spec?.resourceHandle)
  await requireReachableDisks(deps)
  const namespace = snapshot.metadata.namespace ?? ''
  const found = await deps.cluster.read('PersistentVolumeClaim', namespace, name)
  const claim = requireBoundClaim(found, `${namespace}/${name}`)
  const { volumeName } = claim.spec
  const volume = requireVolume(await deps.cluster.read('PersistentVolume', undefined, volumeName), volumeName)
  requireOwnVolume(volume, claim)
  const fcdId = await diskBehind(deps, volume)
  if ((await deps.volumes.describe(fcdId)) === undefined) {
    throw new TerminalError(
      'VolumeNotFound',
      `no configured vCenter knows disk ${fcdId} of PersistentVolume ${volumeName}`,
    )
  }
  return { claim, volume, fcdId }
}

async function diskBehind(deps: VolumeDeps, volume: PersistentVolume): Promise<string> {
  if (!isMigrated(volume)) return requireDisk(volume, volume.metadata.name)
  return requireMigratedDisk(volume, await deps.cluster.list('CnsVSphereVolumeMigration'))
}

async function volumeOfClaim(deps: VolumeDeps, snapshot: Snapshot): Promise<PersistentVolume | undefined> {
  const namespace = snapshot.metadata.namespace ?? ''
  const name = snapshot.spec?.resourceHandle?.name
  const claim = isObjectName(name) ? await deps.cluster.read('PersistentVolumeClaim', namespace, name) : undefined
  const volumeName = claim?.spec?.volumeName
  if (!isObjectName(volumeName)) return undefined
  const volume = await deps.cluster.read('PersistentVolume', undefined, volumeName)
  return claim !== undefined && volume !== undefined && isVolumeOf(volume, claim) ? volume : undefined
}

async function diskOf(deps: VolumeDeps, volume: PersistentVolume): Promise<unknown> {
  if (isMigrated(volume)) return findMigratedDisk(volume, await deps.cluster.list('CnsVSphereVolumeMigration'))
  return volume.spec?.csi?.volumeHandle
}

export async function diskOfClaim(deps: VolumeDeps, snapshot: Snapshot): Promise<unknown> {
  const volume = await volumeOfClaim(deps, snapshot)
  return volume === undefined ? undefined : await diskOf(deps, volume)
}

/** The claim's volume as it is now. undefined: it is gone, or it has another disk by now. */
export async function volumeStill(
  deps: VolumeDeps,
  snapshot: Snapshot,
  { fcdId }: { fcdId: string },
): Promise<PersistentVolume | undefined> {
  const volume = await volumeOfClaim(deps, snapshot)
  return volume !== undefined && (await diskOf(deps, volume)) === fcdId ? volume : undefined
}
