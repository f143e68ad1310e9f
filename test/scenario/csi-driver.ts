// What the vSphere CSI driver and Kubernetes' volume controllers do in a scenario: provision, bind, reclaim.

import type { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { MemoryVolumes } from '#shared/adapters/memory/volumes.ts'
import type { KubeObject } from '#shared/api/kinds.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import { KiB } from '#shared/kernel/units.ts'

/** A class whose driver never answers. */
export const NEVER_BINDS = 'never'

/** Kubernetes sets it on every claim: a deleted one is there for a while. */
const PROTECTION = 'kubernetes.io/pvc-protection'

export class CsiDriver {
  readonly #cluster: MemoryCluster
  readonly #volumes: MemoryVolumes

  constructor(cluster: MemoryCluster, volumes: MemoryVolumes) {
    this.#cluster = cluster
    this.#volumes = volumes
    for (const name of ['fast', NEVER_BINDS])
      cluster.seed('StorageClass', {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name },
        provisioner: 'csi.vsphere.vmware.com',
        volumeBindingMode: 'Immediate',
      })
  }

  async play(): Promise<void> {
    for (const claim of this.#cluster.peekAll('PersistentVolumeClaim')) {
      const comes = claim['spec'].storageClassName !== NEVER_BINDS
      if (claim.metadata.deletionTimestamp !== undefined) await ignoreConflict(this.#unprotect(claim))
      else if (comes && claim['status']?.phase !== 'Bound') await ignoreConflict(this.#bind(claim))
    }
    for (const volume of this.#cluster.peekAll('PersistentVolume')) await ignoreConflict(this.#reclaim(volume))
  }

  createVolume(name: string, claim: KubeObject, fcdId: string): void {
    this.#cluster.seed('PersistentVolume', {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: {
        accessModes: ['ReadWriteOnce'],
        persistentVolumeReclaimPolicy: 'Delete',
        csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: fcdId },
        claimRef: { namespace: claim.metadata.namespace, name: claim.metadata.name, uid: claim.metadata.uid },
      },
    })
  }

  async #bind(claim: KubeObject): Promise<void> {
    const volumeName: string = claim['spec'].volumeName ?? `pvc-${claim.metadata.uid}`
    const existing = this.#cluster.peek('PersistentVolume', undefined, volumeName)
    if (claim['spec'].volumeName !== undefined && existing === undefined) return
    if (existing === undefined)
      this.createVolume(volumeName, claim, this.#volumes.createDisk(sizeOf(claim), { cbt: true }))
    const ref = this.#cluster.peek('PersistentVolume', undefined, volumeName)?.['spec'].claimRef
    if (ref?.name !== claim.metadata.name || (ref.uid !== undefined && ref.uid !== claim.metadata.uid)) return
    const { namespace, name } = claim.metadata
    await this.#cluster.patch('PersistentVolume', this.#volume(volumeName), {
      spec: { claimRef: { uid: claim.metadata.uid } },
    })
    const finalizers = [...new Set([...(claim.metadata.finalizers ?? []), PROTECTION])]
    await this.#cluster.patch('PersistentVolumeClaim', claim, { metadata: { finalizers }, spec: { volumeName } })
    const bound = this.#cluster.peek('PersistentVolumeClaim', namespace, name)
    if (bound !== undefined) await this.#cluster.patchStatus('PersistentVolumeClaim', bound, { phase: 'Bound' })
  }

  /** No Pod uses it. */
  async #unprotect(claim: KubeObject): Promise<void> {
    const finalizers = (claim.metadata.finalizers ?? []).filter((one) => one !== PROTECTION)
    await this.#cluster.patch('PersistentVolumeClaim', claim, { metadata: { finalizers } })
  }

  async #reclaim(volume: KubeObject): Promise<void> {
    const ref = volume['spec'].claimRef
    if (ref !== undefined && ref.uid === undefined && volume['status']?.phase !== 'Available') {
      await this.#cluster.patchStatus('PersistentVolume', volume, { phase: 'Available' })
      return
    }
    if (ref?.uid === undefined || volume['spec'].persistentVolumeReclaimPolicy !== 'Delete') return
    const claim = this.#cluster.peek('PersistentVolumeClaim', ref.namespace, ref.name)
    if (claim?.metadata.uid === ref.uid) return
    this.#volumes.deleteDisk(volume['spec'].csi.volumeHandle)
    await this.#cluster.delete('PersistentVolume', volume)
  }

  #volume(name: string): KubeObject {
    return this.#cluster.peek('PersistentVolume', undefined, name) as KubeObject
  }
}

/** Someone wrote meanwhile: the next turn looks again. */
async function ignoreConflict(act: Promise<void>): Promise<void> {
  await act.catch((error: unknown) => {
    if (!(error instanceof ConflictError)) throw error
  })
}

function sizeOf(claim: KubeObject): number {
  return Number(String(claim['spec'].resources.requests.storage).replace('Ki', '')) * KiB
}
