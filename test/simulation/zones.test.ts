// A class that waits for its first consumer, in a cluster with zones: the disk is made where the class allows it and the driver runs, or the
// restore ends by name. The simulated driver refuses other nodes, as external-provisioner does.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { LooseObject } from '#test/support/loose-object.ts'
import { type FaultPlan, NO_FAULTS } from './fault-plan.ts'
import { assertNothingLeft } from './invariants.ts'
import { aBackup, aClone, aWaitingClaim, isDone } from './objects.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env['SEEDS'] ?? 10)
const BAD: FaultPlan = { drop: 0.3, double: 0.3, die: 0.05 }
const ZONE = 'topology.csi.vmware.com/k8s-zone'
const DRIVER = 'csi.vsphere.vmware.com'
const ZONAL = 'zonal'

type Place = { zone: string; ready?: boolean; driver?: boolean; taints?: object[] }

function aNode(world: World, name: string, { zone, ready = true, driver = true, taints = [] }: Place): void {
  world.cluster.seed('Node', {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { [ZONE]: zone } },
    spec: { taints },
    status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  })
  if (!driver) return
  const drivers = [{ name: DRIVER, nodeID: name, topologyKeys: [ZONE] }]
  world.cluster.seed('CSINode', {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSINode',
    metadata: { name },
    spec: { drivers },
  })
}

async function aZonalWorld(seed: number, plan: FaultPlan, nodes: Record<string, Place>) {
  const world = new World(seed, plan)
  const snapshot = await aBackup(world)
  world.cluster.seed('StorageClass', {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: ZONAL },
    provisioner: DRIVER,
    volumeBindingMode: 'WaitForFirstConsumer',
    allowedTopologies: [{ matchLabelExpressions: [{ key: ZONE, values: ['zone-b'] }] }],
  })
  for (const [name, place] of Object.entries(nodes)) aNode(world, name, place)
  const named: (string | undefined)[] = []
  world.cluster.onWrite((kind, before, after) => {
    const isNew =
      kind === 'PersistentVolumeClaim' && before === undefined && after?.metadata.name.startsWith('dormouse-')
    if (isNew) named.push(after?.metadata.annotations?.['volume.kubernetes.io/selected-node'])
  })
  return { world, snapshot, named }
}

const cloneIn = (world: World) => world.cluster.peek('CloneFromSnapshot', 'restored', 'clone-1')

async function untilOver(world: World): Promise<LooseObject['status']> {
  await world.run(() => isDone(cloneIn(world)) && world.cluster.peekAll('Download').every(isDone))
  await world.run(() => world.heldLeases.length === 0)
  assert.equal(world.broken, [])
  assert.equal(world.errors, [])
  assertNothingLeft(world)
  return cloneIn(world)?.['status']
}

const TWO_ZONES: Record<string, Place> = {
  a: { zone: 'zone-a' },
  b: { zone: 'zone-b', ready: false },
  c: { zone: 'zone-b', driver: false },
  d: { zone: 'zone-b', taints: [{ key: 'gpu', effect: 'NoSchedule' }] },
  z: { zone: 'zone-b' },
}

for (const [seed, plan] of [
  [0, NO_FAULTS] as const,
  ...Array.from({ length: SEEDS }, (_, n) => [n + 1, BAD] as const),
]) {
  test(`seed ${seed}: the restore names the node whose zone the class allows, that has the driver, and that accepts Pods`, async () => {
    const { world, snapshot, named } = await aZonalWorld(seed, plan, TWO_ZONES)
    aClone(world, 'clone-1', snapshot, { storageClass: ZONAL })
    const status = await untilOver(world)
    assert.is(status.phase, 'Completed', world.describe())
    assert.equal([...new Set(named)], ['z'])
  })
}

test('no node where the class allows the disk: the restore ends by a reason that names the topology, and no claim was made', async () => {
  const { z: _, ...without } = TWO_ZONES
  const { world, snapshot, named } = await aZonalWorld(1, NO_FAULTS, without)
  aClone(world, 'clone-1', snapshot, { storageClass: ZONAL })
  const status = await untilOver(world)
  assert.equal([status.phase, status.reason], ['Failed', 'NoNodeInTopology'])
  assert.match(status.message, /zonal waits for its first consumer and allows only topology\S+ in \[zone-b\]/)
  assert.equal(named, [])
  const events = world.cluster.peekAll('Event').filter(({ involvedObject }) => involvedObject.name === 'clone-1')
  assert.equal(
    events.map(({ type, reason }) => [type, reason]),
    // When the obstacle is met, and at the end.
    [
      ['Warning', 'NoNodeInTopology'],
      ['Warning', 'NoNodeInTopology'],
    ],
  )
})

test('a node that comes while the restore waits gets the disk', async () => {
  const { world, snapshot, named } = await aZonalWorld(2, NO_FAULTS, { a: { zone: 'zone-a' } })
  aClone(world, 'clone-1', snapshot, { storageClass: ZONAL })
  await world.run(() => cloneIn(world)?.['status']?.reason === 'NoNodeInTopology')
  aNode(world, 'late', { zone: 'zone-b' })
  assert.is((await untilOver(world)).phase, 'Completed', world.describe())
  assert.equal(named, ['late'])
})

test("the node that the scheduler has written on Velero's claim is used; one that is stored with a backup is not", async () => {
  for (const awaits of ['dormouse-awaited', undefined]) {
    const nodes = { y: { zone: 'zone-b' }, z: { zone: 'zone-b' } }
    const { world, snapshot, named } = await aZonalWorld(3, NO_FAULTS, nodes)
    const annotations = { 'volume.kubernetes.io/selected-node': 'z' }
    const clone = aClone(world, 'clone-1', snapshot, { storageClass: ZONAL, awaits, annotations })
    if (awaits !== undefined) aWaitingClaim(world, clone)
    assert.is((await untilOver(world)).phase, 'Completed', world.describe())
    assert.equal(named, [awaits === undefined ? 'y' : 'z'])
  }
})

test.run()
