// What a restore leaves out or cleans, besides volumes.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LooseObject } from '#test/support/loose-object.ts'
import { itemRestorer } from '../../../velero/actions/item-restorer.ts'
import { oldSnapshotter } from '../../../velero/actions/old-snapshotter.ts'
import { aConfigMap, aRestore, aWorld, rejects, type World } from './support.ts'

const restorer = suite('the restore action on other items')

const OLD_VM = [
  'kubernetes.io/psp',
  'mac',
  'vlan',
  'vmware-system-ephemeral-disk-uuid',
  'vmware-system-image-references',
  'vmware-system-vm-moid',
  'vmware-system-vm-uuid',
  'vmware-system-network',
  'nsx.vmware.com/attachment',
  'nsx.vmware.com/mac',
]

function an(kind: string, apiVersion: string, metadata: object = {}): LooseObject {
  return { apiVersion, kind, metadata: { name: 'x', namespace: 'shop', ...metadata }, spec: { kept: true } }
}

const execute = (world: World, item: LooseObject) => itemRestorer(world.deps).execute(item, item, aRestore(), world.log)

restorer(
  'row 30: a vSphere Pod loses all ten annotations of the VM that it was, and keeps what is its own',
  async () => {
    const annotations = { ...Object.fromEntries(OLD_VM.map((key) => [key, 'old'])), team: 'blue' }
    const pod = an('Pod', 'v1', { annotations, labels: { app: 'db' }, uid: 'old', ownerReferences: [] })
    const { item, skipRestore } = await execute(aWorld(), pod)
    assert.is(skipRestore, false)
    assert.equal(item, {
      ...pod,
      metadata: { name: 'x', namespace: 'shop', labels: { app: 'db' }, annotations: { team: 'blue' } },
    })
  },
)

restorer('row 30: a Pod of another cluster stays as it is', async () => {
  const pod = an('Pod', 'v1', { annotations: { mac: 'mine', vlan: 'mine' }, uid: 'old' })
  assert.is((await execute(aWorld(), pod)).item, pod)
})

restorer('row 30: images and monitors of the Supervisor are not restored', async () => {
  for (const item of [
    an('Image', 'imagecontroller.vmware.com/v1'),
    an('NSXLBMonitor', 'vmware.com/v1alpha1'),
    an('NSXLoadBalancerMonitor', 'vmware.com/v1alpha1'),
  ]) {
    const world = aWorld()
    assert.is((await execute(world, item)).skipRestore, true, item.kind)
    assert.match(world.lines[0] ?? '', /^info .* the Supervisor makes it$/)
  }
})

restorer('what is blocked is left out with a warning, or fails where that is asked for', async () => {
  const gateway = an('Gateway', 'example.com/v1')
  const world = aWorld()
  world.cluster.seed(
    'ConfigMap',
    aConfigMap('velero-vsphere-plugin-blocked-resources-list', { 'gateways.example.com': 'true' }),
  )
  const lenient = itemRestorer(world.deps)
  const { includedResources } = await lenient.appliesTo()
  for (const one of ['pods', 'gateways.example.com', 'uploads.datamover.cnsdp.vmware.com'])
    assert.ok(includedResources.includes(one), one)
  assert.is((await lenient.execute(gateway, gateway, aRestore(), world.log)).skipRestore, true)
  assert.match(world.lines[0] ?? '', /^warn .* is on the list of blocked resources: it is left out$/)
  world.cluster.seed('ConfigMap', aConfigMap('velero-vsphere-plugin-config', { 'blocked-resources': 'strict' }))
  await rejects(execute(world, gateway), 'ResourceBlocked')
})

restorer('row 56: a snapshot of the Velero Plugin for vSphere up to 1.0.2 is refused with what helps', () => {
  const { name, refuse } = oldSnapshotter()
  assert.is(name, 'velero.io/vsphere')
  assert.match(
    refuse('restored', 'ivd:disk:snap').message,
    /"ivd:disk:snap" is of .* 1\.0\.2 or older.* use that plugin/,
  )
  assert.ok(refuse('deleted', 'x'.repeat(9000)).message.length < 600)
})

restorer.run()
