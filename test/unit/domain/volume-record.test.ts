// What a backup records of its PersistentVolume, and what it never takes from a volume or from a forged root.

import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { backedUpOf, formatBackedUp, neededBytes } from '#shared/domain/backed-up.ts'
import type { NodeAffinity } from '#shared/domain/node-affinity.ts'
import { formatRecord, readRecord, recordOf, type VolumeRecord } from '#shared/domain/volume-record.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import { openRoot, type RootSource, sealRoot } from '#shared/repository/format/root.ts'
import { formatExample } from '#test/support/format-example.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const record = suite('what a backup keeps of its volume')

const AFFINITY: NodeAffinity = {
  required: {
    nodeSelectorTerms: [
      { matchExpressions: [{ key: 'topology.csi.vmware.com/k8s-zone', operator: 'In', values: ['zone-a'] }] },
    ],
  },
}

const aVolume = (spec: object = {}, metadata: object = {}): LooseObject => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name: 'pv', ...metadata },
  spec: {
    capacity: { storage: '32Mi' },
    accessModes: ['ReadOnlyMany', 'ReadWriteOnce'],
    persistentVolumeReclaimPolicy: 'Retain',
    csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: 'fcd-1', fsType: 'xfs' },
    ...spec,
  },
})

record('file system, mount options, reclaim policy, modes, labels, annotations and place are kept', () => {
  const volume = aVolume(
    { mountOptions: ['noatime', 'context="system_u:object_r:x:s0:c1"'], nodeAffinity: AFFINITY },
    { labels: { tier: 'gold', 'app.kubernetes.io/name': 'db' }, annotations: { 'example.com/ticket': 'OPS-1' } },
  )
  const wanted: VolumeRecord = {
    fsType: 'xfs',
    mountOptions: ['noatime', 'context="system_u:object_r:x:s0:c1"'],
    reclaimPolicy: 'Retain',
    accessModes: ['ReadWriteOnce', 'ReadOnlyMany'],
    labels: { 'app.kubernetes.io/name': 'db', tier: 'gold' },
    annotations: { 'example.com/ticket': 'OPS-1' },
    nodeAffinity: AFFINITY,
  }
  assert.equal(recordOf(volume), wanted)
  assert.equal(readRecord(formatRecord(recordOf(volume))), wanted)
})

record('a volume of the old in-tree driver tells its file system, too', () => {
  const spec = { csi: undefined, vsphereVolume: { volumePath: '[ds] a.vmdk', fsType: 'xfs' } }
  assert.is(recordOf(aVolume(spec)).fsType, 'xfs')
})

record('mount options in the older annotation count, as kubelet goes by it', () => {
  const annotations = { 'volume.beta.kubernetes.io/mount-options': 'nobarrier,noatime' }
  const kept = recordOf(aVolume({ mountOptions: ['ro'] }, { annotations }))
  assert.equal([kept.mountOptions, kept.annotations], [['nobarrier', 'noatime'], undefined])
})

record(
  'a group for Pods is kept, and what Kubernetes, Velero, Dormouse and deployers set on this object is not',
  () => {
    const own = [
      'pv.kubernetes.io/provisioned-by',
      'pv.kubernetes.io/bound-by-controller',
      'volume.kubernetes.io/provisioner-deletion-secret-name',
      'volume.beta.kubernetes.io/storage-class',
      'kubectl.kubernetes.io/last-applied-configuration',
      'topology.kubernetes.io/zone',
      'failure-domain.beta.kubernetes.io/region',
      'velero.io/restore-name',
      'restore.velero.io/x',
      'dormouse.dev/clone-uid',
      'dormouse.dev/staging-claim',
      'argocd.argoproj.io/instance',
      'app.kubernetes.io/instance',
      'objectset.rio.cattle.io/hash',
      'kapp.k14s.io/app',
      'a/b/c',
      '',
      '/x',
      'x/',
      'Upper.Case/x',
      '-x',
    ]
    const theirs = { mine: 'x', 'app.kubernetes.io/name': 'x' }
    const all = { ...Object.fromEntries(own.map((key) => [key, 'x'])), ...theirs }
    const annotations = { ...all, 'pv.beta.kubernetes.io/gid': '1234' }
    const kept = recordOf(aVolume({}, { labels: all, annotations }))
    assert.equal(kept.labels, theirs)
    assert.equal(kept.annotations, { ...theirs, 'pv.beta.kubernetes.io/gid': '1234' })
    assert.is(recordOf(aVolume({}, { annotations: { 'pv.beta.kubernetes.io/gid': 'root' } })).annotations, undefined)
  },
)

record('neither disk, driver, Secrets, attributes, class, claim nor size are in it', () => {
  const secretRef = { name: 'x', namespace: 'kube-system' }
  const hostile = {
    csi: { driver: 'evil', volumeHandle: 'fcd-2', nodeStageSecretRef: secretRef, volumeAttributes: { type: 'x' } },
    volumeHandle: 'fcd-2',
    driver: 'evil',
    nodeStageSecretRef: secretRef,
    nodePublishSecretRef: secretRef,
    controllerPublishSecretRef: secretRef,
    controllerExpandSecretRef: secretRef,
    nodeExpandSecretRef: secretRef,
    volumeAttributes: { 'storage.kubernetes.io/csiProvisionerIdentity': 'x' },
    claimRef: { namespace: 'kube-system', name: 'x' },
    storageClassName: 'x',
    capacity: { storage: '1Ei' },
    finalizers: ['x'],
    ownerReferences: [{}],
    hostPath: { path: '/' },
  }
  assert.equal(readRecord(hostile), {})
  const volume = aVolume({ ...hostile, csi: { ...hostile.csi, fsType: 'ext4' } })
  assert.equal(Object.keys(recordOf(volume)).sort(), ['accessModes', 'fsType', 'reclaimPolicy'])
})

record('what is no value of its field is left out', () => {
  const odd = {
    fsType: 'ext4 -o x',
    readOnly: 'yes',
    mountOptions: ['noatime', 'a,b', 'a b', 'a\nb', '', 7, 'x'.repeat(1025)],
    reclaimPolicy: 'Recycle',
    accessModes: ['Any', 'ReadWriteOnce'],
    labels: { a: 'no label value!', b: 7, c: 'x'.repeat(64), d: '' },
    annotations: ['x'],
    nodeAffinity: { required: {} },
  }
  assert.equal(readRecord(odd), { mountOptions: ['noatime'], accessModes: ['ReadWriteOnce'], labels: { d: '' } })
  for (const none of [undefined, null, 'x', '[]', [], 7, `{"fsType":"${'x'.repeat(70_000)}"}`])
    assert.is(readRecord(none), undefined, JSON.stringify(none)?.slice(0, 40))
})

record('it stays small, whatever a volume carries', () => {
  const long = Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`k${n}`, 'x'.repeat(63)]))
  const volume = aVolume(
    { mountOptions: Array.from({ length: 500 }, (_, n) => `o${n}`) },
    { labels: long, annotations: { ...long, a: 'x'.repeat(200_000), b: 'kept' } },
  )
  const kept = recordOf(volume)
  assert.ok(formatRecord(kept).length < 64 * 1024)
  assert.equal(readRecord(formatRecord(kept)), kept)
  assert.is(kept.annotations?.['b'], 'kept')
  assert.is(kept.annotations?.['a'], undefined)
})

record('whatever is read, is read the same again', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const once = readRecord(value)
      if (once !== undefined) assert.equal(readRecord(formatRecord(once)), once)
    }),
  )
})

/** As release 0.1.0 writes it. A later release must always read these bytes. */
const FROZEN = readFileSync('test/fixtures/format/volume-record.json', 'utf8').trim()

record('the record of the first release is read for ever, and written alike', () => {
  const read = readRecord(FROZEN)
  assert.equal(Object.keys(read ?? {}).sort(), [
    'accessModes',
    'annotations',
    'fsType',
    'labels',
    'mountOptions',
    'nodeAffinity',
    'readOnly',
    'reclaimPolicy',
  ])
  assert.is(formatRecord(read as VolumeRecord), FROZEN)
})

record('a root keeps it, with fields that this release does not know; one without it opens as before', () => {
  const { keys, root } = formatExample()
  const session = '6c9bb57cc0c80ae4-d251bfc93233eefc-018bcfe56800-00000001'
  const sourceOf = (source: RootSource) =>
    blockSourceOf(openRoot(keys, session, sealRoot(keys, session, { ...root, source }), 'x'), 'x')
  const volume = { fsType: 'xfs', later: { a: 1 } }
  assert.equal(sourceOf({ ...root.source, volume }).volume, volume)
  assert.is(sourceOf(root.source).volume, undefined)
})

const aDownload = (annotation: string | undefined, status: object = {}): LooseObject => ({
  apiVersion: '',
  kind: 'Download',
  metadata: {
    name: 'd',
    ...(annotation === undefined ? {} : { annotations: { 'dormouse.dev/backed-up': annotation } }),
  },
  status,
})

record('a Download tells the size of its backup, and what it keeps of the volume', () => {
  const told = formatBackedUp(1024, { claim: 'a/b', backup: 'daily', volume: { fsType: 'xfs', volumeHandle: 'x' } })
  assert.equal(backedUpOf(aDownload(told)), {
    capacityBytes: 1024,
    claim: 'a/b',
    backup: 'daily',
    volume: { fsType: 'xfs' },
  })
  assert.equal(backedUpOf(aDownload(formatBackedUp(1024, {}))), { capacityBytes: 1024 })
  for (const none of [undefined, '', '{}', '[]', '{"capacityBytes":-1}', '{"capacityBytes":"1"}', 'x'])
    assert.is(backedUpOf(aDownload(none)), undefined, none)
})

record('only a Download whose disk was too small tells how much is needed', () => {
  const told = formatBackedUp(1024, {})
  assert.is(neededBytes(aDownload(told, { phase: 'Failed', reason: 'TargetTooSmall' })), 1024)
  assert.is(neededBytes(aDownload(told, { phase: 'Failed', reason: 'BackupNotFound' })), undefined)
  assert.is(neededBytes(aDownload(told, { phase: 'Retry', reason: 'TargetTooSmall' })), undefined)
  assert.is(neededBytes(aDownload(undefined, { phase: 'Failed', reason: 'TargetTooSmall' })), undefined)
  assert.is(neededBytes(undefined), undefined)
})

record.run()
