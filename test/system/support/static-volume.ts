// A volume that an administrator has made by hand over a disk of vSphere, and its claim, bound by name.

import type { Environment } from '#test/environment/environment.ts'
import { STORAGE_CLASSES } from '#test/environment/seed.ts'
import { noise, writePieces } from '#test/environment/storage/content.ts'
import { DRIVER, quantity } from '#test/environment/storage/csi.ts'
import { type Volume, volumeOf } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const MIB = 2 ** 20

type StaticVolume = {
  namespace: string
  name: string
  sizeBytes: number
  /** The size that the claim asks for, if it is less. */
  request?: string
  accessModes?: string[]
  labels?: Record<string, string>
  annotations?: Record<string, string>
  fsType?: string
  /** Further fields of the volume's spec. */
  spec?: Record<string, unknown>
}

/** Makes it with some data of its own. The volume's name contains the namespace and the claim. */
export async function staticVolume(environment: Environment, wanted: StaticVolume): Promise<Volume> {
  const { namespace, name, sizeBytes, fsType, labels = {}, annotations = {}, spec = {} } = wanted
  const { accessModes = ['ReadWriteOnce'], request = quantity(sizeBytes) } = wanted
  await environment.createNamespace(namespace)
  const volumeName = `${namespace}-${name}`
  const disk = await environment.vcenter.createDisk({ name: volumeName, capacityBytes: sizeBytes, cbt: true })
  const common = { accessModes, storageClassName: STORAGE_CLASSES.immediate }
  await environment.api.create({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: volumeName, labels, annotations },
    spec: {
      ...common,
      capacity: { storage: quantity(sizeBytes) },
      persistentVolumeReclaimPolicy: 'Retain',
      claimRef: { namespace, name },
      csi: { driver: DRIVER, volumeHandle: disk.id, ...(fsType === undefined ? {} : { fsType }) },
      ...spec,
    },
  })
  await environment.api.create({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { namespace, name },
    spec: { ...common, volumeName, resources: { requests: { storage: request } } },
  })
  const volume = await volumeOf(environment, namespace, name)
  await writePieces(volume.file, [{ offsetBytes: 3 * MIB, data: noise(volumeName, 6 * MIB) }])
  return volume
}

/** The PersistentVolume that the claim is bound to. */
export async function boundVolume(environment: Environment, namespace: string, name: string): Promise<LooseObject> {
  const { volumeName } = await volumeOf(environment, namespace, name)
  const volume = await environment.api.get({ apiVersion: 'v1', kind: 'PersistentVolume', name: volumeName })
  if (volume === undefined) throw new Error(`PersistentVolume ${volumeName} is gone`)
  return volume
}
