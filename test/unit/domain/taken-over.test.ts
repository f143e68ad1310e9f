// What a restored volume takes over from the backup, and what it keeps: disk, driver, Secrets, attributes, place.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { hasNode, type NodeAffinity, nodeAffinityOf } from '#shared/domain/node-affinity.ts'
import { formatHandOver, handOverOf, stagedVolumeOf } from '#shared/domain/staged-volume.ts'
import { changesTo, isPlaceKept, needsOtherObject, takenOver, type Wanted } from '#shared/domain/taken-over.ts'
import type { VolumeRecord } from '#shared/domain/volume-record.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const over = suite('what a restored volume takes over')

const CSI = {
  driver: 'csi.vsphere.vmware.com',
  volumeHandle: 'fcd-new',
  fsType: 'ext4',
  volumeAttributes: { type: 'vSphere CNS Block Volume' },
  nodeStageSecretRef: { name: 'own', namespace: 'velero' },
}
const aStaged = (spec: object = {}): LooseObject => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name: 'pvc-1', labels: { 'dormouse.dev/clone-uid': 'u' }, annotations: { a: 'own' } },
  spec: {
    capacity: { storage: '32Mi' },
    accessModes: ['ReadWriteOnce'],
    persistentVolumeReclaimPolicy: 'Delete',
    storageClassName: 'fast',
    mountOptions: ['discard'],
    csi: CSI,
    ...spec,
  },
})
const onTo = (
  record: VolumeRecord | undefined,
  { staged = aStaged(), ...more }: Partial<Wanted> & { staged?: LooseObject } = {},
) => takenOver(staged, { record, claimModes: ['ReadWriteOnce'], nodes: [], ...more })

over('file system, options, modes, labels and annotations come from the record', () => {
  const { metadata, spec } = onTo(
    {
      fsType: 'xfs',
      readOnly: true,
      mountOptions: ['noatime'],
      reclaimPolicy: 'Retain',
      accessModes: ['ReadWriteOnce', 'ReadOnlyMany'],
      labels: { tier: 'gold' },
      annotations: { a: 'theirs', b: 'x' },
    },
    { claimModes: ['ReadOnlyMany'] },
  )
  assert.equal(metadata.labels, { 'dormouse.dev/clone-uid': 'u', tier: 'gold' })
  assert.equal(metadata.annotations, { a: 'theirs', b: 'x' })
  assert.equal(spec, {
    ...aStaged()['spec'],
    accessModes: ['ReadWriteOnce', 'ReadOnlyMany'],
    mountOptions: ['noatime'],
    csi: { ...CSI, fsType: 'xfs', readOnly: true },
  })
})

over('a record without file system or options takes those of the class away, as the volume had none', () => {
  const { spec } = onTo({ reclaimPolicy: 'Delete' })
  assert.is('fsType' in spec!.csi!, false)
  assert.is('mountOptions' in spec, false)
  assert.equal(changesTo(aStaged(), onTo({})).spec, { accessModes: ['ReadWriteOnce'], mountOptions: null })
})

over('without a record all is as the class has it, and only the modes fit the claim', () => {
  assert.equal(onTo(undefined, { claimModes: ['ReadOnlyMany', 'ReadWriteOnce'] }), {
    ...aStaged(),
    spec: { ...aStaged()['spec'], accessModes: ['ReadWriteOnce', 'ReadOnlyMany'] },
  })
})

over('a raw block device keeps the fields that have no effect on it', () => {
  const staged = aStaged({ volumeMode: 'Block', mountOptions: undefined })
  const { spec } = onTo({ fsType: 'xfs', mountOptions: ['noatime'] }, { staged })
  assert.equal([spec?.csi?.fsType, spec?.mountOptions], ['ext4', undefined])
})

over('only fields that Kubernetes does not let anyone change need another volume object', () => {
  const staged = aStaged()
  assert.is(needsOtherObject(staged, onTo({ fsType: 'xfs' })), true)
  assert.is(needsOtherObject(staged, onTo({})), true, 'the driver takes its default')
  assert.is(needsOtherObject(staged, onTo({ fsType: 'ext4', readOnly: true })), true)
  assert.is(needsOtherObject(staged, onTo({ fsType: 'ext4', mountOptions: ['x'], labels: { a: 'b' } })), false)
  assert.is(needsOtherObject(staged, onTo(undefined)), false)
})

const ZONES = (operator: string, ...values: string[]): NodeAffinity =>
  nodeAffinityOf({ required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator, values }] }] } })!
const aNode = (name: string, labels: Record<string, string>): LooseObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels },
})
const NODES = [aNode('n1', { zone: 'a', size: '8' })]

over('a nodeAffinity is kept if a node fits it and the new disk has none of its own', () => {
  const here = { nodeAffinity: ZONES('In', 'a') }
  const gone = { nodeAffinity: ZONES('In', 'b') }
  assert.equal(onTo(here, { nodes: NODES })['spec'].nodeAffinity, here.nodeAffinity)
  assert.is(onTo(gone, { nodes: NODES })['spec'].nodeAffinity, undefined)
  assert.is(isPlaceKept(aStaged(), { record: gone, claimModes: [], nodes: NODES }), false)
  const placed = aStaged({ nodeAffinity: ZONES('In', 'c') })
  assert.equal(onTo(here, { nodes: NODES, staged: placed })['spec'].nodeAffinity, ZONES('In', 'c'))
  assert.is('nodeAffinity' in changesTo(placed, onTo(here, { nodes: NODES, staged: placed })).spec!, false)
})

const OPERATORS: [NodeAffinity, boolean][] = [
  [ZONES('In', 'b', 'a'), true],
  [ZONES('In', 'b'), false],
  [ZONES('NotIn', 'b'), true],
  [ZONES('NotIn', 'a'), false],
  [ZONES('Exists'), true],
  [ZONES('DoesNotExist'), false],
  [
    nodeAffinityOf({
      required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'size', operator: 'Gt', values: ['7'] }] }] },
    })!,
    true,
  ],
  [
    nodeAffinityOf({
      required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'size', operator: 'Lt', values: ['7'] }] }] },
    })!,
    false,
  ],
  [
    nodeAffinityOf({
      required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'none', operator: 'Gt', values: ['0'] }] }] },
    })!,
    false,
  ],
  [
    nodeAffinityOf({
      required: { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n1'] }] }] },
    })!,
    true,
  ],
  [nodeAffinityOf({ required: { nodeSelectorTerms: [{}] } })!, false],
]
for (const [affinity, wanted] of OPERATORS)
  over(`${JSON.stringify(affinity.required.nodeSelectorTerms)}: ${wanted ? 'a node has it' : 'no node has it'}`, () => {
    assert.is(hasNode(affinity, NODES), wanted)
  })

const withOne = (requirement: object) => ({ required: { nodeSelectorTerms: [{ matchExpressions: [requirement] }] } })
const REFUSED: unknown[] = [
  withOne({ key: 'a/b/c', operator: 'Exists' }),
  withOne({ key: '', operator: 'Exists' }),
  withOne({ key: 'zone', operator: 'In', values: ['no label value!'] }),
  withOne({ key: 'size', operator: 'Gt', values: ['many'] }),
  undefined,
  {},
  { required: { nodeSelectorTerms: [] } },
  { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'Near', values: ['a'] }] }] } },
  { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In' }] }] } },
  { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'Exists', values: ['a'] }] }] } },
  { required: { nodeSelectorTerms: [{ matchFields: [{ key: 'spec.x', operator: 'In', values: ['a'] }] }] } },
  {
    required: {
      nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n1', 'n2'] }] }],
    },
  },
  {
    required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'z', operator: 'In', values: ['x'.repeat(9000)] }] }] },
  },
  {
    required: {
      nodeSelectorTerms: [
        { matchExpressions: [{ key: 'zone', operator: 'Exists' }] },
        null,
        'x',
        { matchExpressions: 'x' },
      ],
    },
  },
]
over('a nodeAffinity that Kubernetes would refuse is left out', () => {
  for (const value of REFUSED) assert.is(nodeAffinityOf(value), undefined, JSON.stringify(value)?.slice(0, 200))
})

const aDownload = (annotations: Record<string, string>): LooseObject => ({
  apiVersion: '',
  kind: 'Download',
  metadata: { name: 'd', annotations },
})

over("the policy of the backup goes before that of the class, and one that is none doesn't", () => {
  const staged = JSON.stringify({ name: 'pvc-1', claimUID: 'u', reclaimPolicy: 'Delete', zeroed: true })
  const policyWith = (volume: object) =>
    stagedVolumeOf(
      aDownload({
        'dormouse.dev/staged-volume': staged,
        'dormouse.dev/backed-up': JSON.stringify({ capacityBytes: 1, volume }),
      }),
    )?.reclaimPolicy
  assert.is(policyWith({ reclaimPolicy: 'Retain' }), 'Retain')
  assert.is(policyWith({ reclaimPolicy: 'Recycle' }), 'Delete')
  assert.is(policyWith({}), 'Delete')
})

over('a hand-over names the volume object to make again, and a malformed one is ignored', () => {
  const again = {
    claimUID: '',
    metadata: { name: 'pvc-1' },
    spec: { csi: CSI, claimRef: { namespace: 'a', name: 'b' } },
  }
  const told = (value: unknown) => aDownload({ 'dormouse.dev/hand-over': formatHandOver(value as never) })
  assert.equal(handOverOf(told({ target: 'data', again })), { target: 'data', again })
  assert.is(handOverOf(told({ target: 'data', again: {} })), undefined)
})

over.run()
