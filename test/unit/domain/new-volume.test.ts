// What proves that a volume is new, what Kubernetes would bind instead, and which class provisions.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fits, isProvisionedFor } from '#shared/domain/new-volume.ts'
import { parseQuantity } from '#shared/domain/quantity.ts'
import { coversClaims, coversNamespace, sourcesOf } from '#shared/domain/restore-scope.ts'
import { handOverOf, stagedVolumeOf, stateOfStaged } from '#shared/domain/staged-volume.ts'
import { defaultClass } from '#shared/domain/storage-class.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const test = suite('a new volume')
const UID = '6f0e7a2c-1111-4222-8333-444455556666'

const CLAIM: LooseObject = {
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'dormouse-u', namespace: 'shop', uid: UID },
  spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'fast', resources: { requests: { storage: '1Gi' } } },
}

function aVolume(metadata: object = {}, spec: object = {}): LooseObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {
      name: `pvc-${UID}`,
      annotations: { 'pv.kubernetes.io/provisioned-by': 'csi.vsphere.vmware.com' },
      ...metadata,
    },
    spec: {
      accessModes: ['ReadWriteOnce'],
      capacity: { storage: '1Gi' },
      storageClassName: 'fast',
      csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: 'a1' },
      claimRef: { namespace: 'shop', name: 'dormouse-u', uid: UID },
      ...spec,
    },
  }
}

test('it is new when its name ends with the UID of the claim, the provisioner says so, and it is bound to that very claim', () => {
  assert.ok(isProvisionedFor(aVolume(), CLAIM))
  assert.ok(isProvisionedFor(aVolume({ name: `other-prefix-${UID}` }), CLAIM))
  const claimRef = { namespace: 'shop', name: 'dormouse-u', uid: UID }
  const others: [string, LooseObject][] = [
    ['another name', aVolume({ name: 'pool-1' })],
    ['the UID without a dash', aVolume({ name: `pvc${UID}` })],
    ['nobody provisioned it', aVolume({ annotations: {} })],
    ['another driver', aVolume({ annotations: { 'pv.kubernetes.io/provisioned-by': 'ebs.csi.aws.com' } })],
    ['unclaimed', aVolume({}, { claimRef: undefined })],
    ['another UID', aVolume({}, { claimRef: { ...claimRef, uid: 'x' } })],
    ['another name of the claim', aVolume({}, { claimRef: { ...claimRef, name: 'x' } })],
    ['another namespace', aVolume({}, { claimRef: { ...claimRef, namespace: 'x' } })],
  ]
  for (const [text, volume] of others) assert.not.ok(isProvisionedFor(volume, CLAIM), text)
  assert.not.ok(isProvisionedFor(aVolume({ name: 'pvc-' }), { ...CLAIM, metadata: { ...CLAIM.metadata, uid: '' } }))
})

test('what is free and fits would be bound', () => {
  const free = (spec: object, metadata: object = {}) => fits(aVolume(metadata, { claimRef: undefined, ...spec }), CLAIM)
  assert.ok(free({}))
  assert.ok(
    free({ capacity: { storage: '2Ti' }, accessModes: ['ReadWriteMany', 'ReadWriteOnce'], volumeMode: 'Filesystem' }),
  )
  assert.ok(free({ capacity: { storage: 'nonsense' } }), 'what cannot be read counts as fitting')
  assert.ok(free({ storageClassName: 'x' }, { annotations: { 'volume.beta.kubernetes.io/storage-class': 'fast' } }))
  const others: object[] = [
    { capacity: { storage: '1023Mi' } },
    { storageClassName: '' },
    { volumeMode: 'Block' },
    { accessModes: ['ReadOnlyMany'] },
    { claimRef: { namespace: 'shop', name: 'x' } },
  ]
  for (const spec of others) assert.not.ok(free(spec), JSON.stringify(spec))
  assert.not.ok(free({}, { deletionTimestamp: 'now' }))
})

test('quantities are read as Kubernetes writes them, and nothing is read out of nonsense', () => {
  const known: [unknown, number][] = [
    ['1Gi', 2 ** 30],
    ['640Ki', 640 * 1024],
    ['1.5G', 1.5e9],
    ['1e3', 1000],
    [1024, 1024],
    ['500m', 0.5],
    ['.5Mi', 2 ** 19],
  ]
  for (const [text, bytes] of known) assert.is(parseQuantity(text), bytes, String(text))
  for (const text of ['', 'x', '1GB', '1 Gi', '-1', undefined, {}, '1'.repeat(100_000)])
    assert.is(parseQuantity(text), undefined)
})

test('of several default classes it is the newest', () => {
  const aClass = (name: string, creationTimestamp: string, isDefault = 'true'): LooseObject => ({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name, creationTimestamp, annotations: { 'storageclass.kubernetes.io/is-default-class': isDefault } },
  })
  const old = aClass('a', '2026-01-01T00:00:00Z')
  const young = aClass('b', '2026-02-01T00:00:00Z')
  assert.is(defaultClass([old, young, aClass('c', '2026-03-01T00:00:00Z', 'false')])?.metadata.name, 'b')
  assert.is(defaultClass([]), undefined)
})

test('a Restore speaks for the namespaces that it includes, and maps', () => {
  const aRestore = (spec: object): LooseObject => ({
    apiVersion: 'velero.io/v1',
    kind: 'Restore',
    metadata: { name: 'r' },
    spec,
  })
  const includes = (...includedNamespaces: string[]) => coversNamespace(aRestore({ includedNamespaces }), 'shop-eu')
  assert.ok(coversNamespace(aRestore({}), 'shop-eu'))
  for (const one of ['*', 'shop-eu', 'shop-*', '*-eu', 's*p*u', 'shop-[ex]u', '{shop-eu,x}'])
    assert.ok(includes('web', one), one)
  for (const one of ['shop', 'shop-', 'x*', '*-us', 'shop-eu*eu', '']) assert.not.ok(includes(one), one)
  assert.not.ok(coversNamespace(aRestore({ includedNamespaces: ['*'], excludedNamespaces: ['shop-eu'] }), 'shop-eu'))
  const excludes = (one: string, includedNamespaces: string[]) =>
    !coversNamespace(aRestore({ includedNamespaces, excludedNamespaces: ['web', one] }), 'shop-eu')
  for (const included of [[], ['*'], ['shop-eu'], ['shop-*']]) {
    for (const one of [
      '*',
      '**',
      'shop-eu',
      'shop-*',
      '*-eu',
      's*p*u',
      'shop-?u',
      'shop-[ex]u',
      '{shop-eu,x}',
      'shop\\-*',
    ])
      assert.ok(excludes(one, included), `${one} excludes shop-eu of ${included}`)
    for (const one of ['shop', 'x*', '*-us', 'shop-eu*eu', ''])
      assert.not.ok(excludes(one, included), `${one} does not exclude shop-eu of ${included}`)
  }
  const mapped = aRestore({ namespaceMapping: { a: 'copy', b: 'copy', copy: 'away' } })
  assert.equal(sourcesOf(mapped, 'copy'), ['a', 'b'])
  assert.equal(sourcesOf(mapped, 'shop'), ['shop'])
})

test('a Restore speaks for claims that it brings back with their data', () => {
  const clone = (name: string): LooseObject => ({ apiVersion: '', kind: 'CloneFromSnapshot', metadata: { name } })
  const covers = (spec: object, name = 'mine') =>
    coversClaims(
      { apiVersion: 'velero.io/v1', kind: 'Restore', metadata: { name: 'r', uid: 'u-1' }, spec },
      clone(name),
    )
  assert.ok(covers({}) && covers({ restorePVs: true }) && covers({ restorePVs: null, includedResources: [] }))
  assert.not.ok(covers({ restorePVs: false }))
  for (const one of ['*', 'persistentvolumeclaims', 'persistentvolumeclaim', 'pvc', 'persistentvolumeclaims.', 'PVC']) {
    assert.ok(covers({ includedResources: ['pods', one] }), one)
    assert.not.ok(covers({ excludedResources: ['pods', one] }), one)
  }
  for (const one of ['persistentvolumes', 'pvcs', 'pvc.apps', 'configmaps', ''])
    assert.not.ok(covers({ includedResources: [one] }), one)
  const chosen = { labelSelector: { matchLabels: { app: 'web' } } }
  for (const spec of [chosen, { orLabelSelectors: [chosen.labelSelector] }]) {
    assert.not.ok(covers(spec))
    assert.not.ok(covers(spec, 'clone-u-2-c'))
    assert.ok(covers(spec, 'clone-u-1-c'))
  }
  assert.ok(covers({ labelSelector: {}, orLabelSelectors: [] }))
})

test('a volume is changed only when it is the one that the Download names, with its disk', () => {
  const clone: LooseObject = {
    apiVersion: '',
    kind: 'CloneFromSnapshot',
    metadata: { name: 'c', namespace: 'shop', uid: 'u' },
  }
  const download = { apiVersion: '', kind: 'Download', metadata: { name: 'd' }, spec: { protectedEntityID: 'ivd:a1' } }
  const disk: LooseObject = {
    clone,
    download,
    staged: { name: `pvc-${UID}`, claimUID: UID, reclaimPolicy: 'Delete', zeroed: true },
    target: 'data',
  }
  const state = (spec: object) => stateOfStaged(aVolume({}, spec), disk)
  assert.is(state({}), 'staged')
  assert.is(state({ claimRef: { namespace: 'shop', name: 'data' } }), 'given')
  const foreign: object[] = [
    { csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: 'b2' } },
    { csi: { driver: 'x', volumeHandle: 'a1' } },
    { csi: undefined, hostPath: { path: '/' } },
    { claimRef: { namespace: 'shop', name: 'dormouse-u', uid: 'other' } },
    { claimRef: { namespace: 'bank', name: 'data' } },
    { claimRef: { namespace: 'shop', name: 'else' } },
    { claimRef: undefined },
  ]
  for (const spec of foreign) assert.is(state(spec), 'foreign', JSON.stringify(spec))
})

test('annotations that say nothing usable say nothing', () => {
  const says = (text: string): LooseObject => ({
    apiVersion: '',
    kind: 'Download',
    metadata: { name: 'd', annotations: { 'dormouse.dev/staged-volume': text, 'dormouse.dev/hand-over': text } },
  })
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '7',
    '{"name":"../x","target":"../x"}',
    '{"target":"a","plan":{"spec":{}},"name":"a"}',
  ]) {
    assert.is(stagedVolumeOf(says(text)), undefined, text)
    assert.is(handOverOf(says(text)), undefined, text)
  }
})

test.run()
