// What the vSphere CSI driver and Kubernetes' volume controllers do in a simulation run: provision, bind, reclaim, collect.

import type { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import { KiB } from '#shared/kernel/units.ts'
import type { MemoryVolumes } from '#shared/providers/memory/volumes.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { placeOfNode, usesTopology } from '#test/support/provisioner-topology.ts'

/** A StorageClass whose driver never answers. */
export const NEVER_BINDS = 'never'

/** Kubernetes sets this finalizer on every claim, so a deleted claim exists for a while. */
const PROTECTION = 'kubernetes.io/pvc-protection'

/** A StorageClass that waits until the claim names a node. */
export const WAITS = 'waits'
const SELECTED_NODE = 'volume.kubernetes.io/selected-node'
/** The annotation of external-provisioner on volumes that it has made. */
const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by'
const DRIVER = 'csi.vsphere.vmware.com'
const FINALIZER = 'external-provisioner.volume.kubernetes.io/finalizer'
const BOUND_BY_CONTROLLER = 'pv.kubernetes.io/bound-by-controller'

export class CsiDriver {
  readonly #cluster: MemoryCluster
  readonly #volumes: MemoryVolumes

  constructor(cluster: MemoryCluster, volumes: MemoryVolumes) {
    this.#cluster = cluster
    this.#volumes = volumes
    for (const name of ['fast', NEVER_BINDS, WAITS])
      cluster.seed('StorageClass', {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name },
        provisioner: DRIVER,
        volumeBindingMode: name === WAITS ? 'WaitForFirstConsumer' : 'Immediate',
      })
    cluster.seed('Node', {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'node-1' },
      status: { conditions: [{ type: 'Ready', status: 'True' }] },
    })
    cluster.seed('CSINode', {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'CSINode',
      metadata: { name: 'node-1' },
      spec: { drivers: [{ name: DRIVER, nodeID: 'node-1' }] },
    })
  }

  async play(): Promise<void> {
    for (const claim of this.#cluster.peekAll('PersistentVolumeClaim')) {
      if (claim.metadata.deletionTimestamp !== undefined) await ignoreConflict(this.#unprotect(claim))
      else if (this.#isLeft(claim)) await ignoreConflict(this.#cluster.delete('PersistentVolumeClaim', claim))
      else if (claim['status']?.phase !== 'Bound') await ignoreConflict(this.#bind(claim))
    }
    for (const volume of this.#cluster.peekAll('PersistentVolume')) await ignoreConflict(this.#reclaim(volume))
  }

  /** Kubernetes' garbage collector: deletes what belonged to a clone that is gone. */
  #isLeft({ metadata }: LooseObject): boolean {
    const { ownerReferences: owners = [] } = metadata as { ownerReferences?: { uid: string }[] }
    const clones = owners.length === 0 ? [] : this.#cluster.peekAll('CloneFromSnapshot')
    return owners.length > 0 && !clones.some((clone) => owners.some(({ uid }) => uid === clone.metadata.uid))
  }

  /** Creates a volume as if it was provisioned for this claim. */
  createVolume(name: string, claim: LooseObject, fcdId: string, phase?: 'Bound'): void {
    const { accessModes, volumeMode = 'Filesystem', storageClassName, resources } = claim['spec']
    this.#cluster.seed('PersistentVolume', {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name, annotations: { [PROVISIONED_BY]: DRIVER }, finalizers: [FINALIZER] },
      spec: {
        capacity: { storage: resources.requests.storage },
        accessModes,
        volumeMode,
        storageClassName,
        persistentVolumeReclaimPolicy: 'Delete',
        csi: { driver: DRIVER, volumeHandle: fcdId },
        claimRef: claimRefOf(claim),
      },
      ...(phase === undefined ? {} : { status: { phase } }),
    })
  }

  /** Kubernetes binds a volume that fits. Only if there is none, the driver provisions one, if the class has a driver that answers. */
  async #bind(claim: LooseObject): Promise<void> {
    const wanted: string | undefined = claim['spec'].volumeName
    const found = wanted === undefined ? this.#match(claim) : this.#cluster.peek('PersistentVolume', undefined, wanted)
    const volume = found ?? (wanted === undefined ? this.#provision(claim) : undefined)
    if (volume === undefined) return
    const ref = volume['spec'].claimRef
    const isFor = ref === undefined || (ref.name === claim.metadata.name && ref.namespace === claim.metadata.namespace)
    if (!isFor || (ref?.uid !== undefined && ref.uid !== claim.metadata.uid)) return
    await this.#join(claim, volume)
  }

  async #join(claim: LooseObject, volume: LooseObject): Promise<void> {
    const { namespace, name } = claim.metadata
    const byController = volume['spec'].claimRef === undefined ? { [BOUND_BY_CONTROLLER]: 'yes' } : {}
    const bound = await this.#cluster.patch('PersistentVolume', volume, {
      metadata: { annotations: byController },
      spec: { claimRef: claimRefOf(claim) },
    })
    await this.#cluster.patchStatus('PersistentVolume', bound, { phase: 'Bound' })
    const finalizers = [...new Set([...(claim.metadata.finalizers ?? []), PROTECTION])]
    await this.#cluster.patch('PersistentVolumeClaim', claim, {
      metadata: { finalizers },
      spec: { volumeName: volume.metadata.name },
    })
    const now = this.#cluster.peek('PersistentVolumeClaim', namespace, name)
    if (now !== undefined) await this.#cluster.patchStatus('PersistentVolumeClaim', now, { phase: 'Bound' })
  }

  /** As FindMatchingVolume of pv_controller: the smallest volume that fits. With a class that waits, only one that is reserved for the claim. */
  #match(claim: LooseObject): LooseObject | undefined {
    const all = this.#cluster.peekAll('PersistentVolume')
    const promised = all.find(({ spec }) => spec.claimRef !== undefined && isPromised(spec.claimRef, claim))
    if (promised !== undefined || this.#bindingMode(claim) === 'WaitForFirstConsumer') return promised
    const { storageClassName = '', volumeMode = 'Filesystem', accessModes } = claim['spec']
    return all
      .filter(({ metadata, spec }) => spec.claimRef === undefined && metadata.deletionTimestamp === undefined)
      .filter(({ spec }) => (spec.storageClassName ?? '') === storageClassName)
      .filter(({ spec }) => (spec.volumeMode ?? 'Filesystem') === volumeMode)
      .filter(({ spec }) => accessModes.every((mode: string) => spec?.accessModes?.includes(mode)))
      .filter((volume) => capacityOf(volume) >= sizeOf(claim))
      .sort((a, b) => capacityOf(a) - capacityOf(b))[0]
  }

  #bindingMode(claim: LooseObject): string | undefined {
    const name = claim['spec'].storageClassName ?? ''
    return name === '' ? undefined : this.#cluster.peek('StorageClass', undefined, name)?.['volumeBindingMode']
  }

  #provision(claim: LooseObject): LooseObject | undefined {
    const className = claim['spec'].storageClassName ?? ''
    const mode = this.#bindingMode(claim)
    const waits = mode === 'WaitForFirstConsumer' && claim.metadata.annotations?.[SELECTED_NODE] === undefined
    if (className === NEVER_BINDS || mode === undefined || waits || this.#isRefused(claim)) return undefined
    const name = `pvc-${claim.metadata.uid}`
    if (this.#cluster.peek('PersistentVolume', undefined, name) === undefined)
      this.createVolume(name, claim, this.#volumes.createDisk(sizeOf(claim), { cbt: true }))
    return this.#cluster.peek('PersistentVolume', undefined, name)
  }

  /** True when the claim names a node for which the provisioner makes no disk. */
  #isRefused(claim: LooseObject): boolean {
    const name = claim.metadata.annotations?.[SELECTED_NODE]
    const storageClass = this.#cluster.peek('StorageClass', undefined, claim['spec'].storageClassName)
    if (name === undefined || storageClass === undefined) return false
    const csiNodes = this.#cluster.peekAll('CSINode')
    const place = placeOfNode({
      driver: DRIVER,
      storageClass,
      node: this.#cluster.peek('Node', undefined, name),
      csiNode: csiNodes.find(({ metadata }) => metadata.name === name),
      usesTopology: usesTopology(csiNodes, DRIVER),
    })
    return typeof place === 'string'
  }

  /** True when no Pod uses the claim. */
  async #unprotect(claim: LooseObject): Promise<void> {
    const finalizers = (claim.metadata.finalizers ?? []).filter((one: string) => one !== PROTECTION)
    await this.#cluster.patch('PersistentVolumeClaim', claim, { metadata: { finalizers } })
  }

  async #reclaim(volume: LooseObject): Promise<void> {
    const ref = volume['spec'].claimRef
    const phase = volume['status']?.phase
    const isOwn = volume.metadata.annotations?.[PROVISIONED_BY] === DRIVER
    const policy = volume['spec'].persistentVolumeReclaimPolicy
    const claim = ref === undefined ? undefined : this.#cluster.peek('PersistentVolumeClaim', ref.namespace, ref.name)
    const isBound = ref?.uid !== undefined && claim?.metadata.uid === ref.uid
    if (isBound) return
    if (volume.metadata.deletionTimestamp !== undefined) return await this.#remove(volume, isOwn && policy === 'Delete')
    const next = ref?.uid === undefined ? 'Available' : 'Released'
    if (next === 'Released' && phase !== next)
      await this.#cluster.patchStatus('PersistentVolume', volume, { phase: next })
    // The provisioner looks at the phase, not at the claimRef (sig-storage-lib, shouldDelete), so it may act before the controller does.
    const isReleased = next === 'Released' || phase === 'Released'
    if (isReleased && isOwn && policy === 'Delete') return await this.#remove(this.#volume(volume), true)
    if (next === 'Available' && phase !== next)
      await this.#cluster.patchStatus('PersistentVolume', volume, { phase: next })
  }

  /** Deletes the disk first, so that the next turn can continue after a death in between. */
  async #remove(volume: LooseObject, withDisk: boolean): Promise<void> {
    if (withDisk) this.#volumes.deleteDisk(volume['spec'].csi.volumeHandle)
    await this.#cluster.delete('PersistentVolume', volume)
    const left = this.#cluster.peek('PersistentVolume', undefined, volume.metadata.name)
    const finalizers = (left?.metadata.finalizers ?? []).filter((one) => one !== FINALIZER)
    if (left !== undefined) await this.#cluster.patch('PersistentVolume', left, { metadata: { finalizers } })
  }

  #volume({ metadata }: LooseObject): LooseObject {
    return this.#cluster.peek('PersistentVolume', undefined, metadata.name) as LooseObject
  }
}

function claimRefOf({ metadata: { namespace, name, uid } }: LooseObject): object {
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid }
}

function isPromised(ref: { namespace?: string; name?: string; uid?: string }, { metadata }: LooseObject): boolean {
  const isNamed = ref.namespace === metadata.namespace && ref.name === metadata.name
  return isNamed && (ref.uid === undefined || ref.uid === metadata.uid)
}

function capacityOf(volume: LooseObject): number {
  return bytesOf(volume['spec'].capacity.storage)
}

/** Another process wrote meanwhile: the next turn looks again. */
async function ignoreConflict(act: Promise<void>): Promise<void> {
  await act.catch((error: unknown) => {
    if (!(error instanceof ConflictError)) throw error
  })
}

function sizeOf(claim: LooseObject): number {
  return bytesOf(claim['spec'].resources.requests.storage)
}

function bytesOf(quantity: unknown): number {
  return Number(String(quantity).replace('Ki', '')) * KiB
}
