// Whose a volume is: its own word, which only operators and Kubernetes can write.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '#shared/api/kinds.ts'
import { isDiskIn, requireOwnVolume } from '#shared/domain/volume.ts'
import { reasonOf } from '#test/support/reason.ts'

const owner = suite('whose a volume is')

const claim = {
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { namespace: 'b', name: 'data', uid: 'u-1' },
}
const REF = { namespace: 'b', name: 'data', uid: 'u-1' }

function aVolume(claimRef: object | undefined, spec: object = CSI, annotations = {}): KubeObject {
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

owner('a disk is in the namespace that its volume is bound to', () => {
  assert.is(isDiskIn('b', 'fcd-1', [aVolume({ namespace: 'app' }), aVolume(REF)]), true)
  assert.is(isDiskIn('b', 'fcd-1', [aVolume({ namespace: 'app' })]), false)
  assert.is(isDiskIn('b', 'fcd-2', [aVolume(REF)]), false)
  assert.is(
    isDiskIn('b', 'fcd-1', [aVolume(REF, { csi: { driver: 'ebs.csi.aws.com', volumeHandle: 'fcd-1' } })]),
    false,
  )
})

owner('so is that of a volume that was taken over from the in-tree driver', () => {
  const migrated = { 'pv.kubernetes.io/migrated-to': 'csi.vsphere.vmware.com' }
  const volume = aVolume(REF, { vsphereVolume: { volumePath: '[ds] a.vmdk' } }, migrated)
  const record = (volumepath: string) => ({ spec: { volumepath, volumeid: 'fcd-1' } }) as unknown as KubeObject
  assert.is(isDiskIn('b', 'fcd-1', [volume], [record('[ds] a.vmdk')]), true)
  assert.is(isDiskIn('b', 'fcd-1', [volume], [record('[ds] b.vmdk')]), false)
  assert.is(isDiskIn('b', 'fcd-1', [volume]), false)
})

owner.run()
