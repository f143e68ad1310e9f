// A claim with a volume that no provisioner made.

import type { Environment } from '#test/environment/environment.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

type ByHand = { namespace: string; name: string; annotations?: Record<string, string> }

/** A claim and its volume with that spec, both with that name, and bound, as another driver or an administrator makes them. */
export async function bindByHand(
  environment: Environment,
  { namespace, name, annotations = {} }: ByHand,
  spec: { accessModes?: string[] } & Record<string, unknown>,
): Promise<void> {
  await environment.createNamespace(namespace)
  const { accessModes = ['ReadWriteOnce'] } = spec
  const size = { storage: '1Gi' }
  await environment.api.create({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name, annotations },
    spec: {
      capacity: size,
      accessModes,
      persistentVolumeReclaimPolicy: 'Retain',
      storageClassName: '',
      claimRef: { namespace, name },
      ...spec,
    },
  })
  await environment.api.create({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace },
    spec: { accessModes, storageClassName: '', volumeName: name, resources: { requests: size } },
  })
  const isBound = (claim: LooseObject | undefined) => claim?.['status']?.phase === 'Bound'
  await environment.waitFor('PersistentVolumeClaim', namespace, name, isBound)
}
