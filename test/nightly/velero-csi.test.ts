// The real Velero with its CSI feature on: which program takes a disk, how the Backup ends, and where a restore gets its data.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Environment } from '#test/environment/environment.ts'
import { sha256 } from '#test/environment/storage/content.ts'
import { volumeOf } from '#test/environment/storage/volume.ts'
import {
  endDataUpload,
  readyNodeAgent,
  Snapshotter,
  serveSnapshotKinds,
  snapshotClass,
} from '../system/support/csi-snapshots.ts'
import { aFilledVolume, assertNothingLeft, listOf, phaseOf, startWithPlugin } from '../system/support/velero.ts'

const csi = suite("beside Velero's CSI feature")
let environment: Environment
let snapshotter: Snapshotter

csi.before(async () => {
  environment = await startWithPlugin({ velero: { flags: { features: 'EnableCSI' } } })
  await serveSnapshotKinds(environment)
  snapshotter = Snapshotter.start(environment)
})
csi.after(async () => {
  await snapshotter?.stop()
  await environment.stop()
})

async function backUp(name: string, ...options: string[]): Promise<{ end: string; ours: number; theirs: number }> {
  await environment.velero('backup', 'create', name, '--include-namespaces', name, '--wait', ...options)
  const ours = (await listOf(environment, 'Snapshot', name)).length
  const theirs = snapshotter.taken.filter((place) => place.startsWith(`${name}/`)).length
  return { end: await phaseOf(environment, 'Backup', name), ours, theirs }
}

csi('without a VolumeSnapshotClass for the driver Velero fails each claim, and never asks us', async () => {
  await aFilledVolume(environment, 'no-class', 'orders')
  const told = await backUp('no-class')
  assert.equal(told, { end: 'PartiallyFailed', ours: 0, theirs: 0 })
})

csi('with the volume policy custom the disk is ours alone, with a class and without', async () => {
  const policy = {
    version: 'v1',
    volumePolicies: [{ conditions: { csi: { driver: 'csi.vsphere.vmware.com' } }, action: { type: 'custom' } }],
  }
  await environment.api.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'vsphere-disks', namespace: 'velero' },
    data: { 'policy.yaml': JSON.stringify(policy) },
  })
  const options = ['--resource-policies-configmap', 'vsphere-disks']
  await aFilledVolume(environment, 'policy-a', 'orders')
  assert.equal(await backUp('policy-a', ...options), { end: 'Completed', ours: 1, theirs: 0 })
  await environment.api.apply(snapshotClass('vsphere'))
  await aFilledVolume(environment, 'policy-b', 'orders')
  assert.equal(await backUp('policy-b', ...options), { end: 'Completed', ours: 1, theirs: 0 })
})

csi('with a class both take the disk: the Backup says so, and a restore brings our data and nothing else', async () => {
  const volume = await aFilledVolume(environment, 'both', 'orders')
  const hash = await sha256(volume.file)
  assert.equal(await backUp('both'), { end: 'Completed', ours: 1, theirs: 1 })
  const log = await environment.velero('backup', 'logs', 'both')
  assert.match(log, /level=warning.*CsiSnapshotBeside/)
  await environment.velero(
    'restore',
    'create',
    'again',
    '--from-backup',
    'both',
    '--namespace-mappings',
    'both:again',
    '--wait',
  )
  assert.is(
    await phaseOf(environment, 'Restore', 'again'),
    'Completed',
    await environment.velero('restore', 'logs', 'again'),
  )
  assert.is(await sha256((await volumeOf(environment, 'again', 'orders')).file), hash)
  const claim = await environment.api.get({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    namespace: 'again',
    name: 'orders',
  })
  assert.is(claim?.['spec'].dataSource, undefined)
  await assertNothingLeft(environment)
})

csi('a disk that Velero moves itself, as the Backup says, is left to it, with a warning', async () => {
  await aFilledVolume(environment, 'moved', 'orders')
  await readyNodeAgent(environment)
  const moving = backUp('moved', '--snapshot-move-data')
  const moved = await endDataUpload(environment)
  assert.equal(moved, ['moved/orders'])
  assert.equal(await moving, { end: 'Completed', ours: 0, theirs: 1 })
  assert.match(await environment.velero('backup', 'logs', 'moved'), /level=warning.*VeleroDataMover/)
})

csi.run()
