// What a staging claim takes over from the claim that it stands for, and what it does not.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CLONE_ANNOTATION, CLONE_LABEL, stagingClaim } from '#shared/domain/staging.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const staging = suite('a staging claim')

const CLONE: LooseObject = {
  apiVersion: '',
  kind: 'CloneFromSnapshot',
  metadata: { name: 'back', namespace: 'shop', uid: 'u-1' },
}
const CLAIM: LooseObject = {
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: {
    name: 'data',
    labels: { app: 'db', 'example.com/team': 'a' },
    annotations: { 'example.com/cost-centre': '42' },
  },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
}
const claimIn = (namespace: string) =>
  stagingClaim(CLONE, CLAIM, { namespace, storageClass: 'fast', selectedNode: undefined }).metadata

staging(
  'beside the clone has the labels and annotations that a rule of that namespace may want, and goes with the clone',
  () => {
    const { labels, annotations, ownerReferences } = claimIn('shop')
    assert.is(labels?.['app'], 'db')
    assert.is(annotations?.['example.com/cost-centre'], '42')
    assert.is(ownerReferences?.[0]?.uid, 'u-1')
  },
)

staging("in Velero's namespace has nothing that a tenant has chosen, and no owner of another namespace", () => {
  const { labels, annotations, ownerReferences } = claimIn('velero')
  assert.equal(labels, { [CLONE_LABEL]: 'u-1', 'velero.io/exclude-from-backup': 'true' })
  assert.equal(annotations, { [CLONE_ANNOTATION]: 'shop/back' })
  assert.is(ownerReferences, undefined)
})

staging.run()
