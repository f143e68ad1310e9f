// A PersistentVolume that no claim has yet and that holds data: no restore may bind, write, change or delete it.

import * as assert from 'uvu/assert'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import { diskBytes, SIZE_BYTES } from './objects.ts'
import type { World } from './world.ts'

export type FreeOptions = {
  storageClass?: string
  sizeBytes?: number
  policy?: string
}

export class FreeVolume {
  readonly #world: World
  readonly #name: string
  readonly #before: LooseObject
  readonly #bytes: Buffer
  /** All writes to its object, by any process. */
  writes = 0

  constructor(world: World, name: string, options: FreeOptions = {}) {
    const { storageClass = 'fast', sizeBytes = SIZE_BYTES, policy = 'Delete' } = options
    const fcdId = world.volumes.createDisk(sizeBytes, { cbt: true })
    world.volumes.write(fcdId, 0, noiseOf(`old data of ${name}`, sizeBytes))
    this.#world = world
    this.#name = name
    this.#bytes = diskBytes(world, fcdId)
    // As an administrator leaves a released volume that is to be used again: provisioned once, with its claimRef removed.
    this.#before = world.cluster.seed('PersistentVolume', {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: {
        name,
        annotations: { 'pv.kubernetes.io/provisioned-by': 'csi.vsphere.vmware.com' },
        finalizers: ['external-provisioner.volume.kubernetes.io/finalizer'],
      },
      spec: {
        capacity: { storage: `${sizeBytes / 1024}Ki` },
        accessModes: ['ReadWriteOnce', 'ReadWriteMany'],
        volumeMode: 'Filesystem',
        storageClassName: storageClass,
        persistentVolumeReclaimPolicy: policy,
        csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: fcdId },
      },
      status: { phase: 'Available' },
    })
    world.cluster.onWrite((kind, before, after) => {
      if (kind === 'PersistentVolume' && (after ?? before)?.metadata.name === name) this.writes++
    })
  }

  /** Checks that the volume and its disk are as at the beginning. */
  assertAsBefore(): void {
    const now = this.#world.cluster.peek('PersistentVolume', undefined, this.#name)
    const plain = (volume: LooseObject | undefined) => ({
      ...volume,
      metadata: { ...volume?.metadata, resourceVersion: '' },
    })
    assert.equal(plain(now), plain(this.#before))
    const { volumeHandle } = this.#before['spec'].csi
    assert.ok(this.#world.volumes.diskIds.includes(volumeHandle), 'its disk is gone')
    assert.ok(diskBytes(this.#world, volumeHandle).equals(this.#bytes), 'its data has changed')
  }

  /** Checks a volume that a claim has had: its data is unchanged, and no claim gets it before an operator has looked at it. */
  assertKept(): void {
    const now = this.#world.cluster.peek('PersistentVolume', undefined, this.#name)
    const { persistentVolumeReclaimPolicy: policy, csi, claimRef } = now?.['spec'] ?? {}
    assert.equal([now?.['status']?.phase, policy, typeof claimRef?.uid], ['Released', 'Retain', 'string'])
    assert.equal(now?.metadata.labels ?? {}, {})
    const ownPolicy = this.#before['spec'].persistentVolumeReclaimPolicy
    assert.match(now?.metadata.annotations?.['dormouse.dev/kept'] ?? '', new RegExp(`policy was ${ownPolicy}$`))
    assert.ok(this.#world.volumes.diskIds.includes(csi?.volumeHandle ?? ''), 'its disk is gone')
    assert.ok(diskBytes(this.#world, csi?.volumeHandle ?? '').equals(this.#bytes), 'its data has changed')
  }
}
