// Volumes for tests: a PVC, bound for real, and the file that holds what is on its disk.

import type { LooseObject } from '#test/support/loose-object.ts'
import type { Environment } from '../environment.ts'
import { STORAGE_CLASSES } from '../seed.ts'
import { CBT_KEY, quantity } from './csi.ts'

export type NewVolume = {
  namespace: string
  name: string
  sizeBytes: number
  /** Changed block tracking; on by default. */
  cbt?: boolean
  storageClass?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  /** How long it may take to be bound; controllers that have just lost their API server take longer. */
  timeoutMs?: number
}
export type Volume = {
  claim: LooseObject
  volumeName: string
  fcdId: string
  /** The disk's flat file: read and write it to read and write the volume. */
  file: string
}

export async function createVolume(environment: Environment, volume: NewVolume): Promise<Volume> {
  const { namespace, name, timeoutMs } = volume
  await environment.api.create(claimOf(volume))
  return await volumeOf(environment, namespace, name, timeoutMs)
}

/** Waits until the PVC is bound and finds its disk. */
export async function volumeOf(
  environment: Environment,
  namespace: string,
  name: string,
  timeoutMs = 30_000,
): Promise<Volume> {
  const isBound = (object: LooseObject | undefined) => object?.['status']?.phase === 'Bound'
  const { object: claim } = await environment.waitFor('PersistentVolumeClaim', namespace, name, isBound, timeoutMs)
  const volumeName: string = claim['spec'].volumeName
  const volume = await environment.api.get({ apiVersion: 'v1', kind: 'PersistentVolume', name: volumeName })
  const fcdId: string = volume?.['spec'].csi.volumeHandle
  const disk = await environment.vcenter.disk(fcdId)
  if (disk === undefined) throw new Error(`PVC ${namespace}/${name}: vCenter knows no disk ${fcdId}`)
  return { claim, volumeName, fcdId, file: disk.path }
}

export function claimOf({
  namespace,
  name,
  sizeBytes,
  cbt = true,
  storageClass,
  labels,
  annotations,
}: NewVolume): LooseObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name,
      namespace,
      labels: labels ?? {},
      annotations: { ...(cbt ? {} : { [CBT_KEY]: 'false' }), ...annotations },
    },
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: storageClass ?? STORAGE_CLASSES.immediate,
      resources: { requests: { storage: quantity(sizeBytes) } },
    },
  }
}
