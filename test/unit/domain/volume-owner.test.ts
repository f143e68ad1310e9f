// The owner of a volume, by the volume's own claimRef, which only operators and Kubernetes can write.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  findMigratedDisk,
  isDiskIn,
  requireMigratedDisk,
  requireOwnVolume,
  volumesOfDisk,
} from '#shared/domain/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { reasonOf } from '#test/support/reason.ts'

const owner = suite('whose a volume is')

const claim: LooseObject = {
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { namespace: 'b', name: 'data', uid: 'u-1' },
}
const REF = { namespace: 'b', name: 'data', uid: 'u-1' }

function aVolume(claimRef: object | undefined, spec: object = CSI, annotations = {}): LooseObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'pv', annotations },
    spec: { claimRef, ...spec },
  }
}
const CSI = { csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: 'fcd-1' } }

owner('a claim owns the volume that names its namespace, its name and its UID', async () => {
  requireOwnVolume(aVolume(REF), claim)
  const others = [
    undefined,
    {},
    { ...REF, uid: 'u-2' },
    { ...REF, uid: undefined },
    { ...REF, namespace: 'app' },
    { ...REF, name: 'x' },
  ]
  for (const ref of others) {
    const asked = Promise.resolve().then(() => requireOwnVolume(aVolume(ref), claim))
    assert.is(await reasonOf(asked), 'VolumeOfAnotherClaim', JSON.stringify(ref))
  }
  const withoutUid = { ...claim, metadata: { namespace: 'b', name: 'data' } }
  const asked = Promise.resolve().then(() => requireOwnVolume(aVolume({ ...REF, uid: undefined }), withoutUid))
  assert.is(await reasonOf(asked), 'VolumeOfAnotherClaim', 'no UID is no proof')
})

const bound = (volume: LooseObject, phase = 'Bound') => ({ ...volume, status: { phase } })
const isIn = (namespace: string, volumes: LooseObject[], claims: (LooseObject | undefined)[] = [claim]) =>
  isDiskIn(namespace, volumesOfDisk('fcd-1', volumes, []), claims)

owner('a disk is in the namespace where its volume is bound to a claim that is there', () => {
  assert.is(isIn('b', [bound(aVolume(REF))]), true)
  assert.is(isIn('app', [bound(aVolume(REF))]), false)
  for (const phase of ['Released', 'Available', 'Pending', 'Failed'])
    assert.is(isIn('b', [bound(aVolume(REF), phase)]), false, phase)
  assert.is(isIn('b', [bound(aVolume(REF))], [undefined]), false, 'its claim is gone')
  const remade = { ...claim, metadata: { ...claim.metadata, uid: 'u-2' } }
  assert.is(isIn('b', [bound(aVolume(REF))], [remade]), false, 'another claim has its name')
  assert.is(isIn('b', []), false)
})

owner("a volume of the same disk that is not that namespace's leaves it unproved, whatever its state", () => {
  for (const ref of [undefined, { namespace: 'app', name: 'x', uid: 'u-9' }])
    for (const phase of ['Bound', 'Released', 'Available'])
      assert.is(isIn('b', [bound(aVolume(REF)), bound(aVolume(ref), phase)]), false, `${ref?.namespace} ${phase}`)
  const second = { namespace: 'b', name: 'old', uid: 'u-0' }
  assert.is(isIn('b', [bound(aVolume(REF)), bound(aVolume(second), 'Released')]), true)
  const ofOthers = aVolume(undefined, { csi: { driver: 'ebs.csi.aws.com', volumeHandle: 'fcd-1' } })
  assert.is(isIn('b', [bound(aVolume(REF)), ofOthers]), true, 'another driver has other disks')
})

const migrated = { 'pv.kubernetes.io/migrated-to': 'csi.vsphere.vmware.com' }
const taken = aVolume(REF, { vsphereVolume: { volumePath: '[ds] a.vmdk' } }, migrated)
const record = (volumepath: string, volumeid = 'fcd-1') =>
  ({ spec: { volumepath, volumeid } }) as unknown as LooseObject

owner('the disk of a volume that was taken over from the in-tree driver is the one at its path', async () => {
  assert.is(requireMigratedDisk(taken, [record('[ds] b.vmdk', 'x'), record('[ds] a.vmdk')]), 'fcd-1')
  assert.is(requireMigratedDisk(taken, [record('[ds] a.vmdk'), record('[ds] a.vmdk')]), 'fcd-1')
  const asked = (records: LooseObject[]) => Promise.resolve().then(() => requireMigratedDisk(taken, records))
  assert.is(await reasonOf(asked([])), 'VolumeNotFound')
})

owner('two disks at one path, in two datacenters, are refused by name, and prove nothing', async () => {
  const records = [record('[ds] a.vmdk', 'theirs'), record('[ds] a.vmdk')]
  assert.is(await reasonOf(Promise.resolve().then(() => requireMigratedDisk(taken, records))), 'VolumeAmbiguous')
  assert.is(findMigratedDisk(taken, records), undefined)
  // A disk that may belong to this namespace, too, cannot be proved to belong to another one.
  const own = bound(aVolume({ ...REF, namespace: 'app' }))
  const ofApp = { ...claim, metadata: { ...claim.metadata, namespace: 'app' } }
  assert.is(isDiskIn('app', volumesOfDisk('fcd-1', [own], records), [ofApp]), true)
  assert.is(isDiskIn('app', volumesOfDisk('fcd-1', [own, taken], records), [ofApp]), false)
})

owner.run()
