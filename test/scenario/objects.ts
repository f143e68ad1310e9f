// The objects that scenarios begin with, as their owners would create them.

import type { KubeObject } from '#shared/api/kinds.ts'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { STEP_LABEL } from '#shared/domain/step-label.ts'
import { KiB } from '#shared/kernel/units.ts'
import type { World } from './world.ts'

export const SIZE_BYTES = 640 * KiB

/** A bound claim in namespace `app` with a disk behind it. Returns the disk's id. */
export function aVolume(world: World, name: string): string {
  const claim = world.cluster.seed('PersistentVolumeClaim', {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: 'app', labels: { app: 'db' } },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '640Ki' } },
      storageClassName: 'fast',
      volumeName: `pv-${name}`,
    },
    status: { phase: 'Bound' },
  })
  const fcdId = world.volumes.createDisk(SIZE_BYTES, { cbt: true })
  world.csi.createVolume(`pv-${name}`, claim, fcdId)
  return fcdId
}

export function aSnapshot(world: World, name: string, claim: string, backupRepository = 'br'): void {
  world.cluster.seed('Snapshot', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'Snapshot',
    metadata: { name, namespace: 'app' },
    spec: { resourceHandle: { apiGroup: '', kind: 'PersistentVolumeClaim', name: claim }, backupRepository },
  })
}

/** `storageClass`: as if the claim had been of that class. */
export function aClone(
  world: World,
  name: string,
  snapshot: KubeObject,
  storageClass?: string,
  namespace = 'restored',
): void {
  const stored = decodeClaimMetadata(snapshot['status'].metadata)
  if (storageClass !== undefined) stored['spec'].storageClassName = storageClass
  world.cluster.seed('CloneFromSnapshot', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'CloneFromSnapshot',
    metadata: { name, namespace },
    spec: {
      snapshotID: snapshot['status'].snapshotID,
      metadata: encodeClaimMetadata(stored),
      apiGroup: '',
      kind: 'PersistentVolumeClaim',
      backupRepository: 'br',
      cloneCancel: false,
    },
  })
}

export function aDelete(world: World, name: string, snapshot: KubeObject): void {
  world.cluster.seed('DeleteSnapshot', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'DeleteSnapshot',
    metadata: { name, namespace: 'velero' },
    spec: { snapshotID: snapshot['status'].snapshotID, backupRepository: 'br' },
  })
}

export function isDone(object: KubeObject | undefined): boolean {
  return object?.metadata.labels?.[STEP_LABEL] === 'done'
}

export function diskBytes(world: World, fcdId: string, snapshotId?: string): Buffer {
  const disk = world.volumes.openDisk(fcdId, snapshotId)
  const bytes = Buffer.alloc(disk.capacityBytes)
  disk.read(0, bytes)
  disk.close()
  return bytes
}
