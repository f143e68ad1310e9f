// What users of the Velero Plugin for vSphere rely on, each shown once on the real API: ids, names, refusals, local mode, repositories.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KindName } from '#shared/api/kinds.ts'
import { decodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import {
  aSnapshot,
  type Backup,
  backUp,
  claimRepository,
  type Restore,
  remove,
  restore,
  typeOf,
} from '#test/environment/main-job.ts'
import { noise, prose, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
const SNAPSHOT_ENDS = ['Snapshotted', 'Uploaded', 'SnapshotFailed']

const capabilities = suite('what users count on')
let environment: Environment
let repository: string
let volume: Volume
let backup: Backup
let restored: Restore

capabilities.before(async () => {
  environment = await startEnvironment()
  repository = await claimRepository(environment)
  volume = await environment.createVolume({
    ...CLAIM,
    sizeBytes: 16 * MIB,
    labels: { app: 'db' },
    annotations: { team: 'orders' },
  })
  await writePieces(volume.file, [
    { offsetBytes: 0, data: prose('a', 2 * MIB) },
    { offsetBytes: 5 * MIB, data: noise('b', 2 * MIB) },
  ])
  backup = await backUp(environment, CLAIM, repository)
})
capabilities.after(async () => {
  await environment.stop()
})

/** Takes a Snapshot of `handle`, and waits for its end. */
async function snapshotEnd(
  name: string,
  namespace: string,
  handle: object,
  repositoryName: string,
): Promise<LooseObject> {
  await environment.createNamespace(namespace)
  const object = aSnapshot(name, { namespace, name: 'x' }, repositoryName)
  await environment.api.create({ ...object, spec: { ...object['spec'], resourceHandle: handle } })
  const isOver = (seen: LooseObject | undefined) =>
    SNAPSHOT_ENDS.includes(seen?.['status']?.phase) && seen?.metadata.labels?.['dormouse.dev/step'] === 'done'
  return (await environment.waitFor('Snapshot', namespace, name, isOver)).object
}

async function listed(kind: KindName, namespace?: string): Promise<LooseObject[]> {
  return await environment.api.list(typeOf(kind).apiVersion, kind, namespace)
}

capabilities('row 4: the phases come in order, and the end has its time', () => {
  const order = ['Snapshotted', 'Uploading', 'Uploaded']
  assert.equal(
    backup.phases.filter((phase) => order.includes(phase)),
    order,
  )
  assert.match(backup.snapshot['status'].completionTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
})

capabilities('row 5: the snapshotID is pvc:<ns>/<name>: and the unpadded base64 of ivd:<disk>:<snapshot>', () => {
  const [type, path, nested, ...rest] = (backup.snapshot['status'].snapshotID as string).split(':')
  assert.equal([type, path, rest], ['pvc', 'shop/orders', []])
  assert.not.match(nested ?? '', /=/)
  assert.match(Buffer.from(nested ?? '', 'base64').toString(), new RegExp(`^ivd:${volume.fcdId}:${UUID}$`))
})

capabilities('row 6: the metadata holds the claim as it is in the API', async () => {
  const stored = decodeClaimMetadata(backup.snapshot['status'].metadata)
  const live = await environment.api.get({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...CLAIM })
  assert.equal(stored, live)
})

capabilities('row 7: one Upload for it in the Velero namespace, named by the disk snapshot', () => {
  const { metadata, spec, status } = backup.upload
  assert.match(metadata.name, new RegExp(`^upload-${UUID}$`))
  assert.is(spec.snapshotID, `ivd:${volume.fcdId}:${metadata.name.slice('upload-'.length)}`)
  assert.is(spec.snapshotReference, `shop/${backup.snapshot.metadata.name}`)
  assert.is(spec.backupRepository, repository)
  assert.is(status.processingNode, 'dormouse-node-1')
  assert.is(metadata.labels?.['velero.io/exclude-from-backup'], 'true')
})

capabilities(
  'rows 21, 22, 27: a restore into another namespace names its volume and keeps what the owner wrote',
  async () => {
    restored = await restore(environment, backup, 'shop-copy')
    const { status } = restored.clone
    assert.equal(status.resourceHandle, {
      apiGroup: '',
      kind: 'PersistentVolumeClaim',
      name: `ivd:${restored.volume.fcdId}`,
    })
    assert.is(status.message, 'Download completed')
    assert.match(status.completionTimestamp, /Z$/)
    assert.is(restored.volume.claim.metadata.labels?.['app'], 'db')
    assert.is(restored.volume.claim.metadata.annotations?.['team'], 'orders')
    assert.is(restored.volume.claim['spec'].storageClassName, volume.claim['spec'].storageClassName)
    const pv = await environment.api.get({
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      name: restored.volume.volumeName,
    })
    assert.is(pv?.['spec'].persistentVolumeReclaimPolicy, 'Delete')
  },
)

capabilities('row 16: an unbound claim is refused at once', async () => {
  await environment.createNamespace('pending')
  await environment.api.create({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'lonely', namespace: 'pending' },
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'vsphere-never',
      resources: { requests: { storage: '1Mi' } },
    },
  })
  const { status } = await snapshotEnd(
    'unbound',
    'pending',
    { apiGroup: '', kind: 'PersistentVolumeClaim', name: 'lonely' },
    repository,
  )
  assert.is(status.phase, 'SnapshotFailed')
  assert.is(status.reason, 'ClaimNotBound')
  assert.match(status.message, /pending\/lonely is Pending, not Bound/)
})

capabilities('row 18: anything but a claim is refused by name', async () => {
  const { status } = await snapshotEnd(
    'no-claim',
    'shop',
    { apiGroup: 'apps', kind: 'Deployment', name: 'web' },
    repository,
  )
  assert.is(status.phase, 'SnapshotFailed')
  assert.is(status.reason, 'ResourceKindUnsupported')
  assert.match(status.message, /apps\/Deployment/)
})

capabilities('row 46: a guest cluster is told so, not searched for disks it does not have', async () => {
  const config = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'velero-vsphere-plugin-config', namespace: 'velero' },
  }
  await environment.api.apply({ ...config, data: { cluster_flavor: 'GUEST' } })
  const { status } = await snapshotEnd(
    'guest',
    'shop',
    { apiGroup: '', kind: 'PersistentVolumeClaim', name: 'orders' },
    repository,
  )
  await environment.api.delete({ ...config, namespace: 'velero', name: config.metadata.name })
  assert.is(status.reason, 'GuestClusterUnsupported')
})

capabilities('row 47: local mode keeps the snapshot in vCenter, uploads nothing, and a delete removes it', async () => {
  const uploads = (await listed('Upload')).length
  const snapshot = await snapshotEnd(
    'local',
    'shop',
    { apiGroup: '', kind: 'PersistentVolumeClaim', name: 'orders' },
    '',
  )
  assert.is(snapshot['status'].phase, 'Snapshotted')
  assert.is((await environment.vcenter.disk(volume.fcdId))?.snapshots.length, 1)
  assert.is((await listed('Upload')).length, uploads)
  await remove(environment, { ...backup, snapshot })
  assert.is((await environment.vcenter.disk(volume.fcdId))?.snapshots.length, 0)
})

capabilities('row 45: deleting the claim deletes its BackupRepository, and no data', async () => {
  const name = 'brc-second'
  const second = await claimRepository(environment, { name })
  assert.is.not(second, repository, 'one BackupRepository per claim')
  const objects = (await environment.bucketObjects()).length
  await environment.api.delete({ ...typeOf('BackupRepositoryClaim'), namespace: 'velero', name })
  await environment.ping('dormouse-sweep')
  await environment.waitFor('BackupRepository', undefined, second, (object) => object === undefined, 90_000)
  await environment.waitFor('BackupRepositoryClaim', 'velero', name, (object) => object === undefined, 90_000)
  assert.is((await environment.bucketObjects()).length, objects)
})

capabilities('no session is left open in vCenter', async () => {
  for (const step of ['dormouse-snapshot', 'dormouse-upload', 'dormouse-download', 'dormouse-delete'])
    environment.killFunction(step, 'SIGTERM')
  const deadline = Date.now() + 30_000
  while ((await environment.vcenterState()).sessions > 0 && Date.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 250))
  assert.is((await environment.vcenterState()).sessions, 0)
})

capabilities.run()
