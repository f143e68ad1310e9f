// Velero's location now has another name, other settings or another place: which repository the plugin's actions name.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { parametersFromLocation } from '#shared/repository/stores/s3/parameters.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { pvcBackupper } from '../../../velero/actions/backupper.ts'
import { pvcDeleter } from '../../../velero/actions/deleter.ts'
import { pvcRestorer } from '../../../velero/actions/restorer.ts'
import { withBlob } from '../../../velero/domain/blob.ts'
import {
  aBackup,
  aClaim,
  aLocation,
  aReadyWorld,
  aRestore,
  aStoredSnapshot,
  SNAPSHOT_ID,
  unlessFirst,
  type World,
} from './support.ts'

const locations = suite('the plugin and locations that change')

const APP = 'backupdriver.cnsdp.vmware.com/v1alpha1'
const UID = '7f0e8a52-9a54-4ce0-8b5e-0c6c1a8c7b11'
const claims = (world: World) => world.cluster.peekAll('BackupRepositoryClaim')

/** Does what the repository function does with each claim of the plugin. */
async function answerClaims({ cluster }: World): Promise<void> {
  for (const claim of claims({ cluster } as World)) {
    const name = `br-${claim.metadata.uid}`
    if (cluster.peek('BackupRepository', undefined, name) !== undefined) continue
    const { repositoryDriver, repopsitoryParameters, allowedNamespaces } = claim
    cluster.seed('BackupRepository', {
      apiVersion: APP,
      kind: 'BackupRepository',
      metadata: { name, annotations: { 'dormouse.dev/claim-namespace': 'velero' } },
      repositoryDriver,
      repopsitoryParameters,
      allowedNamespaces,
      status: { storageLocation: repopsitoryParameters['backupStorageLocation'], repositoryId: 'id' },
    })
    await cluster.patch('BackupRepositoryClaim', claim, { backupRepository: name })
  }
}

function locate(world: World, name: string, change: (spec: LooseObject) => object = () => ({})): void {
  const location = aLocation()
  const spec = { ...location['spec'], ...change(location['spec']) }
  world.cluster.seed('BackupStorageLocation', { ...location, metadata: { name, namespace: 'velero' }, spec })
}

async function remove(world: World, name = 'default'): Promise<void> {
  await world.cluster.delete('BackupStorageLocation', world.cluster.peek('BackupStorageLocation', 'velero', name)!)
}

let backups = 0
/** Runs another Backup each time; returns the repository that its Snapshot names. */
async function backUp(world: World, storageLocation = 'default'): Promise<string> {
  const claim = { ...aClaim(), metadata: { ...aClaim().metadata, uid: `claim-${++backups}` } }
  const { operationId } = await pvcBackupper(world.deps).execute(claim, aBackup({ storageLocation }), world.log)
  await answerClaims(world)
  const [namespace = '', name = ''] = operationId.split('/')
  return world.cluster.peek('Snapshot', namespace, name)?.['spec'].backupRepository ?? ''
}

function storedIn(repository: string): LooseObject {
  const metadata = encodeClaimMetadata(aClaim())
  const snapshot = aStoredSnapshot({ phase: 'Uploaded', snapshotID: SNAPSHOT_ID, metadata })
  snapshot.metadata.uid = UID
  snapshot['spec'].backupRepository = repository
  return withBlob(aClaim(), snapshot, '0.1.0')
}

async function deletedFrom(world: World, repository: string, storageLocation: string): Promise<string> {
  const { cluster, clock } = world
  clock.onSleep = async () => {
    for (const one of cluster.peekAll('DeleteSnapshot'))
      if (one['status'] === undefined)
        await unlessFirst(cluster.patchStatus('DeleteSnapshot', one, { phase: 'Completed' }))
  }
  await pvcDeleter(world.deps).execute(storedIn(repository), aBackup({ storageLocation }), world.log)
  return cluster.peekAll('DeleteSnapshot')[0]?.['spec'].backupRepository ?? ''
}

async function restoredFrom(world: World, repository: string, storageLocation: string): Promise<string> {
  world.cluster.seed('Backup', aBackup({ storageLocation }))
  const item = storedIn(repository)
  await pvcRestorer(world.deps).execute(item, item, aRestore(), world.log)
  return world.cluster.peekAll('CloneFromSnapshot')[0]?.['spec'].backupRepository ?? ''
}

locations(
  'of another name, over the same place: the next backup goes on in the same repository, by the same claim',
  async () => {
    const world = aReadyWorld()
    const first = await backUp(world)
    await remove(world)
    locate(world, 'renamed', () => ({ config: { region: 'eu-west-1' } }))
    assert.is(await backUp(world, 'renamed'), first)
    assert.is(claims(world).length, 1)
    assert.is(await deletedFrom(world, first, 'renamed'), first)
    assert.is(await restoredFrom(world, first, 'renamed'), first)
    assert.is(claims(world).length, 1)
  },
)

locations('of other settings: the next backup goes on in the same repository, by the same claim', async () => {
  const changes: ((spec: LooseObject) => object)[] = [
    ({ config }) => ({ config: { ...config, region: 'eu-west-1' } }),
    ({ config }) => ({ config: { ...config, serverSideEncryption: 'AES256' } }),
    () => ({ credential: { name: 'other', key: 'cloud' } }),
    ({ objectStorage }) => ({ objectStorage: { ...objectStorage, prefix: '/velero/' } }),
  ]
  for (const change of changes) {
    const world = aReadyWorld()
    const first = await backUp(world)
    await remove(world)
    locate(world, 'default', change)
    assert.is(await backUp(world), first)
    assert.is(claims(world).length, 1)
  }
})

locations('of another place: the next backup goes there, and what is stored is asked for by the old name', async () => {
  const world = aReadyWorld()
  const first = await backUp(world)
  await remove(world)
  locate(world, 'default', () => ({ objectStorage: { bucket: 'copied', prefix: 'velero' } }))
  assert.is.not(await backUp(world), first)
  assert.is(claims(world).length, 2)
  assert.is(
    await deletedFrom(world, first, 'default'),
    first,
    'it follows the location, if the same repository is there',
  )
  assert.is(await restoredFrom(world, first, 'default'), first)
})

locations('back to a place that was left: what went on elsewhere is not expected there', async () => {
  const world = aReadyWorld()
  const first = await backUp(world)
  const { cluster } = world
  const moved = { bucket: 'copied', region: 'one', backupStorageLocation: 'default' }
  const repository = cluster.peek('BackupRepository', undefined, first)!
  await cluster.patch('BackupRepository', repository, { repopsitoryParameters: moved })
  await remove(world)
  locate(world, 'default', ({ config }) => ({ config: { ...config, region: 'eu-west-1' } }))
  assert.is.not(await backUp(world), first)
})

locations('a Backup that Velero has found in another location is deleted and restored there', async () => {
  const world = aReadyWorld()
  const first = await backUp(world)
  await remove(world)
  locate(world, 'elsewhere', () => ({ objectStorage: { bucket: 'copied', prefix: 'velero' } }))
  const there = await deletedFrom(world, first, 'elsewhere')
  assert.is.not(there, first)
  assert.is(await restoredFrom(world, first, 'elsewhere'), there)
  const [, claim] = claims(world)
  assert.is(claim?.['repopsitoryParameters']['backupStorageLocation'], 'elsewhere')
})

locations('two that point at one place have a claim each, and a Backup goes by its own', async () => {
  const world = aReadyWorld()
  const first = await backUp(world)
  locate(world, 'second')
  const second = await backUp(world, 'second')
  assert.is.not(second, first)
  assert.equal([await backUp(world), await backUp(world, 'second')], [first, second])
  assert.is(await deletedFrom(world, first, 'second'), second)
})

locations('a Backup whose location is gone is deleted by the repository that is known', async () => {
  const world = aReadyWorld()
  const first = await backUp(world)
  await remove(world)
  assert.is(await deletedFrom(world, first, 'default'), first)
  assert.is(await deletedFrom(world, first, 'another'), first)
})

locations('a claim with an operator’s own settings, or made by hand, is not used for the location', async () => {
  const world = aReadyWorld()
  const parameters = parametersFromLocation(aLocation())
  const seed = (name: string, repopsitoryParameters: object, status?: object) => {
    const backupRepository = `br-${name}`
    const driver = 's3repository.astrolabe.vmware-tanzu.com'
    const more = { repopsitoryParameters, allowedNamespaces: ['shop'], repositoryDriver: driver }
    world.cluster.seed('BackupRepositoryClaim', {
      apiVersion: APP,
      kind: 'BackupRepositoryClaim',
      metadata: { name, namespace: 'velero' },
      backupRepository,
      ...more,
    })
    world.cluster.seed('BackupRepository', {
      apiVersion: APP,
      kind: 'BackupRepository',
      metadata: { name: backupRepository },
      ...more,
      ...(status === undefined ? {} : { status }),
    })
  }
  seed('own', { ...parameters, region: 'mine' })
  seed('unreadable', { ...parameters, bucket: 'not a bucket' }, { storageLocation: 'default' })
  seed('odd', { ...parameters, s3ForcePathStyle: 'maybe' })
  seed('other', { ...parameters, prefix: 'other' }, { storageLocation: 'default' })
  const name = await backUp(world)
  assert.not.ok(['br-own', 'br-unreadable', 'br-odd', 'br-other'].includes(name), name)
})

locations.run()
