// The node that the clone function names for a staged disk: the class allows its place, the driver runs there, and Pods may start.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Candidates, chooseNode } from '#shared/domain/node-choice.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const test = suite('the node of a staged disk')
const DRIVER = 'csi.vsphere.vmware.com'
const ZONE = 'topology.csi.vmware.com/k8s-zone'
const REGION = 'topology.csi.vmware.com/k8s-region'

type Place = { zone?: string; region?: string; spec?: object; ready?: string; deleted?: boolean }

function aNode(name: string, { zone, region, spec = {}, ready = 'True', deleted = false }: Place = {}): LooseObject {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: {
        ...(zone === undefined ? {} : { [ZONE]: zone }),
        ...(region === undefined ? {} : { [REGION]: region }),
      },
      ...(deleted ? { deletionTimestamp: '2026-11-30T00:00:00Z' } : {}),
    },
    spec,
    status: { conditions: [{ type: 'Ready', status: ready }] },
  }
}

function aCsiNode(name: string, driver: object | null = { topologyKeys: [ZONE] }): LooseObject {
  const other = { name: 'ebs.csi.aws.com', nodeID: name, topologyKeys: ['topology.ebs.csi.aws.com/zone'] }
  const drivers = driver === null ? [other] : [other, { name: DRIVER, nodeID: name, ...driver }]
  return { apiVersion: 'storage.k8s.io/v1', kind: 'CSINode', metadata: { name }, spec: { drivers } }
}

function aClass(...zones: string[]): LooseObject {
  const matchLabelExpressions = [{ key: ZONE, values: zones }]
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: 'zonal' },
    ...(zones.length === 0 ? {} : { allowedTopologies: [{ matchLabelExpressions }] }),
  }
}

const A = aNode('a', { zone: 'zone-a' })
const Z = aNode('z', { zone: 'zone-b' })

function choose(change: Partial<Candidates> = {}): string {
  const nodes = change.nodes ?? [A, Z]
  const csiNodes = nodes.map(({ metadata }) => aCsiNode(metadata.name))
  const chosen = chooseNode({ storageClass: aClass('zone-b'), csiNodes, selected: undefined, ...change, nodes })
  return chosen.kind === 'node' ? chosen.name : chosen.reason
}

test('a class that allows zone-b gets the node of zone-b, whatever stands first', () => {
  assert.is(choose(), 'z')
  assert.is(choose({ nodes: [Z, A] }), 'z')
  assert.is(choose({ storageClass: aClass('zone-c', 'zone-b') }), 'z')
  assert.is(choose({ storageClass: aClass() }), 'a')
})

test('terms are alternatives, and all of a term must fit', () => {
  const two = (zone: string, region: string) => ({
    matchLabelExpressions: [
      { key: ZONE, values: [zone] },
      { key: REGION, values: [region] },
    ],
  })
  const nodes = [aNode('a', { zone: 'zone-a', region: 'r1' }), aNode('z', { zone: 'zone-b', region: 'r2' })]
  const csiNodes = nodes.map(({ metadata }) => aCsiNode(metadata.name, { topologyKeys: [ZONE, REGION] }))
  const withTerms = (...allowedTopologies: object[]) =>
    choose({ nodes, csiNodes, storageClass: { ...aClass(), allowedTopologies } })
  assert.is(withTerms(two('zone-a', 'r2'), two('zone-b', 'r2')), 'z')
  assert.is(withTerms(two('zone-a', 'r2')), 'NoNodeInTopology')
  assert.is(withTerms({ matchLabelExpressions: [] }, {}, two('zone-b', 'r2')), 'z', 'an empty term matches nothing')
})

test('a label that the driver does not know as a place of its own counts for nothing', () => {
  const csiNodes = [aCsiNode('a'), aCsiNode('z', { topologyKeys: [REGION] })]
  assert.is(choose({ csiNodes }), 'NoNodeInTopology')
})

const UNFIT: Record<string, LooseObject> = {
  'not ready': aNode('z', { zone: 'zone-b', ready: 'False' }),
  'not heard of': aNode('z', { zone: 'zone-b', ready: 'Unknown' }),
  cordoned: aNode('z', { zone: 'zone-b', spec: { unschedulable: true } }),
  'tainted NoSchedule': aNode('z', { zone: 'zone-b', spec: { taints: [{ key: 'gpu', effect: 'NoSchedule' }] } }),
  'tainted NoExecute': aNode('z', { zone: 'zone-b', spec: { taints: [{ key: 'gone', effect: 'NoExecute' }] } }),
  'being deleted': aNode('z', { zone: 'zone-b', deleted: true }),
}
for (const [what, node] of Object.entries(UNFIT)) {
  test(`a node that is ${what} is passed over`, () => {
    assert.is(choose({ nodes: [A, node] }), 'NoNodeInTopology')
    assert.is(choose({ nodes: [node, aNode('zz', { zone: 'zone-b' })] }), 'zz')
  })
}

test('a taint with the effect PreferNoSchedule does not exclude a node', () => {
  const spec = { taints: [{ key: 'busy', effect: 'PreferNoSchedule' }] }
  assert.is(choose({ nodes: [A, aNode('z', { zone: 'zone-b', spec })] }), 'z')
})

test('a node without the driver is passed over: no CSINode, another driver only, nothing to attach', () => {
  const storageClass = aClass()
  const nodes = [aNode('a'), aNode('b'), aNode('c'), aNode('d')]
  const csiNodes = [aCsiNode('b', null), aCsiNode('c', { allocatable: { count: 0 } }), aCsiNode('d', {})]
  assert.is(choose({ storageClass, nodes, csiNodes: csiNodes.slice(0, 2) }), 'NoNodeForVolume')
  assert.is(choose({ storageClass, nodes, csiNodes }), 'd')
})

test('where the driver knows places, a node that has none of them is passed over: the provisioner refuses it', () => {
  const nodes = [aNode('a', { zone: 'zone-a' }), aNode('b'), aNode('z', { zone: 'zone-b' })]
  const csiNodes = [aCsiNode('a', { topologyKeys: null }), aCsiNode('b'), aCsiNode('z')]
  assert.is(choose({ storageClass: aClass(), nodes, csiNodes }), 'z')
})

test('the node that the scheduler has chosen is used if the provisioner accepts it', () => {
  const tainted = aNode('zz', { zone: 'zone-b', spec: { taints: [{ key: 'mine', effect: 'NoSchedule' }] } })
  const nodes = [A, Z, tainted]
  assert.is(choose({ nodes, selected: 'zz' }), 'zz')
  assert.is(choose({ nodes, selected: 'a' }), 'z', 'a place that the class does not allow')
  assert.is(choose({ nodes, selected: 'gone' }), 'z', 'a node that is gone')
})

test('the refusal names the class, its topology and what was looked at, in a bounded text', () => {
  const nodes = [A, aNode('z', { zone: 'zone-b', ready: 'False' })]
  const csiNodes = nodes.map(({ metadata }) => aCsiNode(metadata.name))
  const said = chooseNode({ storageClass: aClass('zone-b'), nodes, csiNodes, selected: undefined })
  assert.is(
    said.kind === 'none' && said.message,
    `StorageClass zonal waits for its first consumer and allows only ${ZONE} in [zone-b], where no node can have its disk (2 nodes: 2 with ${DRIVER}, 1 of them in an allowed place, none of these is ready and schedulable without a taint)`,
  )
  const zones = Array.from({ length: 500 }, (_, index) => `zone-${index}`)
  const long = chooseNode({ storageClass: aClass(...zones), nodes, csiNodes, selected: undefined })
  assert.ok(long.kind === 'none' && long.message.length < 700)
})

test.run()
