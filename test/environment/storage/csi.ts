// Provisions as the vSphere CSI driver does: an FCD and a PV for a PVC of its classes, and their deletion. Binding is left
// to the real controllers. Field values are those of the driver and of its external-provisioner sidecar.

import type { LooseObject } from '#test/support/loose-object.ts'
import { nodeAffinityOf, type Place, placeOfNode, usesTopology } from '#test/support/provisioner-topology.ts'
import { type Api, ApiError, refOf } from '../kubernetes/api.ts'
import { Watch } from '../kubernetes/watch.ts'
import type { Vcenter } from './vcenter.ts'

export const DRIVER = 'csi.vsphere.vmware.com'
/** On a StorageClass (parameters) or PVC (annotations): milliseconds before the volume is made, or `never`. */
export const DELAY_KEY = 'environment.dormouse.dev/provision-after-ms'
/** On a StorageClass or PVC: `false` makes the FCD without changed block tracking. */
export const CBT_KEY = 'environment.dormouse.dev/cbt'

const PROVISIONER = ['volume.kubernetes.io/storage-provisioner', 'volume.beta.kubernetes.io/storage-provisioner']
const SELECTED_NODE = 'volume.kubernetes.io/selected-node'
const FINALIZER = 'external-provisioner.volume.kubernetes.io/finalizer'
/** Annotation of external-provisioner: the driver's syncer takes a volume with it for one that the driver knows already. */
const PROVISIONER_IDENTITY = 'storage.kubernetes.io/csiProvisionerIdentity'
const FILE_SHARE_MODES = ['ReadOnlyMany', 'ReadWriteMany']
/** Parameter of a class for external-provisioner; without it, the driver's deployment says ext4. */
const FS_TYPE = 'csi.storage.k8s.io/fstype'
const MIB = 1024 * 1024
// Longer than any test stops the API server: the real driver never gives up.
const ATTEMPTS = 100
const RETRY_MS = 100
const LONGEST_RETRY_MS = 1000

export class CsiDriver {
  private readonly api: Api
  private readonly vcenter: Vcenter
  private readonly watches: Watch[] = []
  /** Objects in progress, by UID, with their next step: only the last change meanwhile is handled, afterwards. */
  private readonly busy = new Map<string, (() => Promise<void>) | undefined>()
  private readonly timers = new Set<NodeJS.Timeout>()
  private readonly inventory = new Set<string>()
  private readonly phases = new Map<string, string>()
  /** Objects that were given up. */
  readonly problems: string[] = []
  /** Claims that name a node for which no disk can be made, with the reason: the Event `ProvisioningFailed` of a real driver. */
  readonly refusals: string[] = []
  private stopped = false

  constructor(api: Api, vcenter: Vcenter) {
    this.api = api
    this.vcenter = vcenter
  }

  async start(): Promise<void> {
    const claims = new Watch(this.api, 'v1', 'PersistentVolumeClaim', {
      onObject: (claim) => this.see(claim, () => this.consider(claim)),
    })
    const volumes = new Watch(this.api, 'v1', 'PersistentVolume', {
      onObject: (volume, type) => {
        this.takeStock(volume, type === 'DELETED')
        this.see(volume, () => this.reclaim(volume))
      },
    })
    this.watches.push(claims, volumes)
    await Promise.all(this.watches.map((watch) => watch.start()))
  }

  stop(): void {
    this.stopped = true
    for (const watch of this.watches) watch.stop()
    for (const timer of this.timers) clearTimeout(timer)
  }

  /** False: vCenter has the disk, but the driver's CNS inventory does not, so no Pod could use it. */
  knows(fcdId: string): boolean {
    return this.inventory.has(fcdId)
  }

  // The driver's syncer: when a volume object is deleted, its disk leaves the inventory, even if another object has it. A new volume object that
  // the driver has not provisioned enters the inventory when it becomes Available (newer drivers: or Bound).
  private takeStock(volume: LooseObject, gone: boolean): void {
    const { csi } = volume['spec']
    if (csi?.driver !== DRIVER) return
    const [uid, phase] = [volume.metadata.uid!, volume['status']?.phase]
    const isNew = this.phases.get(uid) === 'Pending' && phase === 'Available'
    this.phases.set(uid, phase)
    if (gone) this.inventory.delete(csi.volumeHandle)
    else if (isNew && csi.volumeAttributes?.[PROVISIONER_IDENTITY] === undefined) this.inventory.add(csi.volumeHandle)
  }

  private see(object: LooseObject, act: () => Promise<void>): void {
    const uid = object.metadata.uid!
    if (this.busy.has(uid)) {
      this.busy.set(uid, act)
      return
    }
    this.busy.set(uid, undefined)
    this.persist(act)
      .catch((error: Error) => this.problems.push(`${object.kind} ${object.metadata.name}: ${error.message}`))
      .finally(() => {
        const next = this.busy.get(uid)
        this.busy.delete(uid)
        if (next !== undefined) this.see(object, next)
      })
  }

  /** Conflicts and an absent API server are common; a real driver tries again as well. */
  private async persist(act: () => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await act()
        return
      } catch (error) {
        if (attempt === ATTEMPTS || this.stopped) throw error
        await this.wait(Math.min(LONGEST_RETRY_MS, RETRY_MS * attempt))
      }
    }
  }

  private async consider(claim: LooseObject): Promise<void> {
    const { annotations = {}, deletionTimestamp } = claim.metadata
    const ours = PROVISIONER.some((key) => annotations[key] === DRIVER)
    if (!ours || deletionTimestamp !== undefined || claim['spec'].volumeName !== undefined) return
    // For these modes the driver makes a file share, or nothing without file services; never a disk.
    if (claim['spec'].accessModes.some((mode: string) => FILE_SHARE_MODES.includes(mode))) return
    const className: string = claim['spec'].storageClassName
    const storageClass = await this.api.get({ apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', name: className })
    if (storageClass === undefined) return
    // The scheduler names the node: until a Pod wants the volume, its place is unknown.
    if (storageClass['volumeBindingMode'] === 'WaitForFirstConsumer' && annotations[SELECTED_NODE] === undefined) return
    const setting = (key: string) => annotations[key] ?? storageClass['parameters']?.[key]
    const delay = setting(DELAY_KEY) ?? '0'
    if (delay === 'never') return
    await this.wait(Number(delay))
    const place = await this.placeFor(claim, storageClass, annotations[SELECTED_NODE])
    if (place === undefined) return
    await this.provision(claim, storageClass, { cbt: setting(CBT_KEY) !== 'false', place })
  }

  /** undefined: refused; the driver tries again while the claim exists, as nodes may change. Without a node, any place will do. */
  private async placeFor(
    claim: LooseObject,
    storageClass: LooseObject,
    name: string | undefined,
  ): Promise<Place | undefined> {
    if (name === undefined) return {}
    const csiNodes = await this.api.list('storage.k8s.io/v1', 'CSINode')
    const place = placeOfNode({
      driver: DRIVER,
      storageClass,
      node: await this.api.get({ apiVersion: 'v1', kind: 'Node', name }),
      csiNode: csiNodes.find(({ metadata }) => metadata.name === name),
      usesTopology: usesTopology(csiNodes, DRIVER),
    })
    if (typeof place !== 'string') return place
    this.refusals.push(`${claim.metadata.namespace}/${claim.metadata.name}: ${place}`)
    await this.wait(LONGEST_RETRY_MS)
    const fresh = this.stopped ? undefined : await this.api.get(refOf(claim))
    if (fresh?.metadata.uid === claim.metadata.uid && !this.busy.get(claim.metadata.uid!))
      this.busy.set(claim.metadata.uid!, () => this.consider(fresh!))
    return undefined
  }

  private async provision(
    claim: LooseObject,
    storageClass: LooseObject,
    { cbt, place }: { cbt: boolean; place: Place },
  ): Promise<void> {
    const name = `pvc-${claim.metadata.uid}`
    if ((await this.api.get({ apiVersion: 'v1', kind: 'PersistentVolume', name })) !== undefined) return
    // The claim may be gone after a delay.
    const fresh = await this.api.get(refOf(claim))
    if (fresh?.metadata.uid !== claim.metadata.uid || fresh?.metadata.deletionTimestamp !== undefined) return
    const wanted = bytesOf(claim['spec'].resources.requests.storage)
    const { fcds } = await this.vcenter.state()
    const disk =
      fcds.find((one) => one.name === name) ??
      (await this.vcenter.createDisk({ name, capacityBytes: Math.ceil(wanted / MIB) * MIB, cbt }))
    this.inventory.add(disk.id)
    const volume = persistentVolume(name, claim, storageClass, disk.id, disk.capacityBytes)
    const nodeAffinity = nodeAffinityOf(place)
    if (nodeAffinity !== undefined) volume['spec'].nodeAffinity = nodeAffinity
    await this.api.create(volume)
  }

  // external-provisioner deletes the disk of a released volume of its own with the policy Delete, and of one that a user deletes.
  private async reclaim(volume: LooseObject): Promise<void> {
    const { annotations = {}, deletionTimestamp, finalizers = [] } = volume.metadata
    const { persistentVolumeReclaimPolicy: policy, csi } = volume['spec']
    if (annotations['pv.kubernetes.io/provisioned-by'] !== DRIVER || csi?.driver !== DRIVER) return
    if (policy === 'Delete' && volume['status']?.phase === 'Released') {
      await this.vcenter.deleteDisk(csi.volumeHandle)
      await this.api.delete(refOf(volume))
      await this.dropFinalizer(volume)
      return
    }
    const free = volume['status']?.phase !== 'Bound'
    if (deletionTimestamp === undefined || !finalizers.includes(FINALIZER) || !free) return
    if (policy === 'Delete') await this.vcenter.deleteDisk(csi.volumeHandle)
    await this.dropFinalizer(volume)
  }

  private async dropFinalizer(volume: LooseObject): Promise<void> {
    const fresh = await this.api.get(refOf(volume))
    if (fresh === undefined || fresh.metadata.finalizers?.includes(FINALIZER) !== true) return
    const finalizers = fresh.metadata.finalizers.filter((one: string) => one !== FINALIZER)
    const { resourceVersion } = fresh.metadata
    await this.api.patch(refOf(volume), { metadata: { finalizers, resourceVersion } }).catch((error: unknown) => {
      if (!(error instanceof ApiError) || error.status !== 404) throw error
    })
  }

  private wait(ms: number): Promise<void> {
    if (ms <= 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.timers.delete(timer)
        resolve()
      }, ms)
      this.timers.add(timer)
    })
  }
}

function persistentVolume(
  name: string,
  claim: LooseObject,
  storageClass: LooseObject,
  fcdId: string,
  capacityBytes: number,
): LooseObject {
  const { name: claimName, namespace, uid } = claim.metadata
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {
      name,
      annotations: {
        'pv.kubernetes.io/provisioned-by': DRIVER,
        'volume.kubernetes.io/provisioner-deletion-secret-name': '',
        'volume.kubernetes.io/provisioner-deletion-secret-namespace': '',
      },
      finalizers: [FINALIZER],
    },
    spec: {
      capacity: { storage: quantity(capacityBytes) },
      accessModes: claim['spec'].accessModes,
      volumeMode: claim['spec'].volumeMode ?? 'Filesystem',
      persistentVolumeReclaimPolicy: storageClass['reclaimPolicy'] ?? 'Delete',
      storageClassName: storageClass.metadata.name,
      ...(storageClass['mountOptions'] === undefined ? {} : { mountOptions: storageClass['mountOptions'] }),
      claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name: claimName, namespace, uid },
      csi: {
        driver: DRIVER,
        volumeHandle: fcdId,
        fsType: storageClass['parameters']?.[FS_TYPE] ?? 'ext4',
        volumeAttributes: { [PROVISIONER_IDENTITY]: `1-8081-${DRIVER}`, type: 'vSphere CNS Block Volume' },
      },
    },
  }
}

const UNITS: Record<string, number> = {
  '': 1,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
}

export function bytesOf(quantityText: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGT]i?)?$/.exec(quantityText)
  if (match === null) throw new Error(`"${quantityText}" is no size`)
  return Math.ceil(Number(match[1]) * UNITS[match[2] ?? '']!)
}

export function quantity(bytes: number): string {
  return bytes % 2 ** 30 === 0 ? `${bytes / 2 ** 30}Gi` : `${Math.ceil(bytes / MIB)}Mi`
}
