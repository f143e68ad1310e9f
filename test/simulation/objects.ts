// The objects that simulations begin with, as their owners would create them.

import * as assert from 'uvu/assert'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { RESTORED_VOLUME_ANNOTATION } from '#shared/domain/restored-volume.ts'
import { CLONE_ANNOTATION, CLONE_LABEL } from '#shared/domain/staging.ts'
import { STEP_LABEL } from '#shared/domain/step-label.ts'
import { KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import type { World } from './world.ts'

export const SIZE_BYTES = 640 * KiB

/** A bound claim with a disk behind it. Returns the disk's id. */
export function aVolume(world: World, name: string, namespace = 'app'): string {
  const claim = world.cluster.seed('PersistentVolumeClaim', {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace, labels: { app: 'db' }, annotations: { 'example.com/cost-centre': '42' } },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '640Ki' } },
      storageClassName: 'fast',
      volumeName: `pv-${name}`,
    },
    status: { phase: 'Bound' },
  })
  const fcdId = world.volumes.createDisk(SIZE_BYTES, { cbt: true })
  world.csi.createVolume(`pv-${name}`, claim, fcdId, 'Bound')
  world.disks.handedOver.add(fcdId)
  return fcdId
}

export function aSnapshot(world: World, name: string, claim: string, backupRepository = 'br', namespace = 'app'): void {
  world.cluster.seed('Snapshot', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'Snapshot',
    metadata: { name, namespace },
    spec: { resourceHandle: { apiGroup: '', kind: 'PersistentVolumeClaim', name: claim }, backupRepository },
  })
}

/** The Snapshot `snap-1` of a claim `data` with some data; its backup is complete in the bucket. */
export async function aBackup(world: World, fsType?: string): Promise<LooseObject> {
  world.volumes.write(aVolume(world, 'data'), 64 * KiB, noiseOf('data', 64 * KiB))
  const volume = world.cluster.peek('PersistentVolume', undefined, 'pv-data') as LooseObject
  if (fsType !== undefined) await world.cluster.patch('PersistentVolume', volume, { spec: { csi: { fsType } } })
  aSnapshot(world, 'snap-1', 'data')
  const snapshot = () => world.cluster.peek('Snapshot', 'app', 'snap-1')
  await world.run(() => isDone(snapshot()) && world.cluster.peekAll('Upload').every(isDone))
  const backup = snapshot()
  assert.is(backup?.['status']?.phase, 'Uploaded', world.describe())
  return backup as LooseObject
}

type CloneOptions = {
  /** Pretends that the backed-up claim had this class. */
  storageClass?: string | undefined
  namespace?: string
  /** As Velero's plugin asks: its claim waits for the volume of this name. */
  awaits?: string | undefined
  /** Annotations that the stored claim has in addition to its own. */
  annotations?: Record<string, string>
}

export function aClone(
  world: World,
  name: string,
  snapshot: LooseObject,
  { storageClass, namespace = 'restored', awaits, annotations: more }: CloneOptions = {},
): LooseObject {
  const stored = decodeClaimMetadata(snapshot['status'].metadata)
  if (storageClass !== undefined) stored['spec'].storageClassName = storageClass
  if (more !== undefined) stored.metadata.annotations = { ...stored.metadata.annotations, ...more }
  const annotations = awaits === undefined ? {} : { annotations: { [RESTORED_VOLUME_ANNOTATION]: awaits } }
  return world.cluster.seed('CloneFromSnapshot', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'CloneFromSnapshot',
    metadata: { name, namespace, ...annotations },
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

/** The claim that Velero makes after it has asked for the clone. */
export function aWaitingClaim(world: World, clone: LooseObject): void {
  const { namespace = '', name, uid = '', annotations } = clone.metadata
  const stored = decodeClaimMetadata(clone['spec'].metadata)
  world.cluster.seed('PersistentVolumeClaim', {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: stored.metadata.name,
      namespace,
      labels: { ...stored.metadata.labels, [CLONE_LABEL]: uid },
      annotations: { ...stored.metadata.annotations, [CLONE_ANNOTATION]: `${namespace}/${name}` },
    },
    spec: { ...stored['spec'], volumeName: annotations?.[RESTORED_VOLUME_ANNOTATION] },
    status: { phase: 'Pending' },
  })
}

export function aDelete(world: World, name: string, snapshot: LooseObject, namespace = 'velero'): void {
  world.cluster.seed('DeleteSnapshot', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'DeleteSnapshot',
    metadata: { name, namespace },
    spec: { snapshotID: snapshot['status'].snapshotID, backupRepository: 'br' },
  })
}

export function isDone(object: LooseObject | undefined): boolean {
  return object?.metadata.labels?.[STEP_LABEL] === 'done'
}

export function diskBytes(world: World, fcdId: string, snapshotId?: string): Buffer {
  const disk = world.volumes.openDisk(fcdId, snapshotId)
  const bytes = Buffer.alloc(disk.capacityBytes)
  disk.read(0, bytes)
  disk.close()
  return bytes
}
