// Volumes of the old in-tree driver that vSphere's CSI driver has taken over: a record of the driver names the disk behind each.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KINDS } from '#shared/api/kinds.ts'
import { unwrapToDisk } from '#shared/domain/ids.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { aSnapshot, backUp, claimRepository } from '#test/environment/main-job.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { bindByHand } from './support/by-hand.ts'

const MIB = 2 ** 20
const { apiVersion, plural } = KINDS.CnsVSphereVolumeMigration
const KIND = 'CnsVSphereVolumeMigration'
/** The part of the driver's CRD that Dormouse reads. */
const CRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${plural}.cns.vmware.com` },
  spec: {
    group: 'cns.vmware.com',
    scope: 'Cluster',
    names: { kind: KIND, listKind: `${KIND}List`, plural, singular: KIND.toLowerCase() },
    versions: [
      {
        name: 'v1alpha1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                required: ['volumeid', 'volumepath'],
                properties: { volumeid: { type: 'string' }, volumepath: { type: 'string' } },
              },
            },
          },
        },
      },
    ],
  },
}

const migrated = suite('migrated volumes')
let environment: Environment
let repository: string

migrated.before(async () => {
  environment = await startEnvironment()
  repository = await claimRepository(environment)
  await environment.createNamespace('shop')
  await environment.api.apply(CRD)
})
migrated.after(async () => {
  await environment.stop()
})

const pathOf = (name: string) => `[sharedVmfs-0] kubevols/${name}.vmdk`

async function inTreeClaim(name: string, annotations: Record<string, string>): Promise<void> {
  const vsphereVolume = { volumePath: pathOf(name), fsType: 'ext4' }
  await bindByHand(environment, { namespace: 'shop', name, annotations }, { vsphereVolume })
}

async function reasonOf(name: string): Promise<string> {
  await environment.api.create(aSnapshot(`of-${name}`, { namespace: 'shop', name }, repository))
  const isOver = (seen: LooseObject | undefined) => seen?.['status']?.phase === 'SnapshotFailed'
  return (await environment.waitFor('Snapshot', 'shop', `of-${name}`, isOver)).object['status'].reason
}

const BY_CSI = { 'pv.kubernetes.io/migrated-to': 'csi.vsphere.vmware.com' }

migrated(
  'row 15: a volume that CSI has taken over is backed up from the disk in the record of the driver',
  async () => {
    const disk = await environment.vcenter.createDisk({ name: 'legacy', capacityBytes: 8 * MIB, cbt: true })
    await environment.vcenter.createDisk({ name: 'other', capacityBytes: 8 * MIB, cbt: true })
    const record = (name: string, volumeid: string) => ({
      apiVersion,
      kind: KIND,
      metadata: { name },
      spec: { volumeid, volumepath: pathOf(name) },
    })
    await until('the kind is served', async () => {
      const made = await environment.api.create(record('legacy', disk.id)).catch(() => undefined)
      return made !== undefined
    })
    await environment.api.create(record('another', 'ffffffff-0000-4000-8000-000000000000'))
    await inTreeClaim('legacy', BY_CSI)
    const { snapshot } = await backUp(environment, { namespace: 'shop', name: 'legacy' }, repository)
    assert.is(snapshot['status'].phase, 'Uploaded')
    assert.is(unwrapToDisk(snapshot['status'].snapshotID).fcdId, disk.id)
  },
)

migrated('row 15: one without a record, or that CSI has not taken over, is refused by name', async () => {
  await inTreeClaim('unrecorded', BY_CSI)
  await inTreeClaim('untouched', {})
  assert.equal([await reasonOf('unrecorded'), await reasonOf('untouched')], ['VolumeNotFound', 'DriverUnsupported'])
})

migrated.run()
