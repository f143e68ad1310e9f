// The RestoreItemActions over a cluster in memory.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { pvcBackupper } from '../../../velero/actions/backupper.ts'
import { pvcRestorer } from '../../../velero/actions/restorer.ts'
import { pvRestorer } from '../../../velero/actions/volume.ts'
import { withBlob } from '../../../velero/domain/blob.ts'
import {
  aBackup,
  aClaim,
  aConfigMap,
  aLocation,
  aRestore,
  aStoredSnapshot,
  aVolume,
  aWorld,
  CLAIM_UID,
  RESTORE_UID,
  rejects,
  SNAPSHOT_ID,
  seedVolume,
  takeSnapshots,
  type World,
} from './support.ts'

const restorer = suite('the restore actions')

const NAME = `clone-${RESTORE_UID}-${CLAIM_UID}`
const VOLUME = `dormouse-${RESTORE_UID}-${CLAIM_UID}`
const KIND = 'CloneFromSnapshot'

function stored(status: object = { phase: 'Uploaded' }, claim: LooseObject = aClaim()): LooseObject {
  const metadata = encodeClaimMetadata(aClaim())
  return withBlob(claim, aStoredSnapshot({ snapshotID: SNAPSHOT_ID, metadata, ...status }), '0.1.0')
}

function aReadyWorld(): World {
  const world = aWorld()
  world.cluster.seed('Backup', aBackup())
  world.cluster.seed('BackupStorageLocation', aLocation())
  world.cluster.seed('BackupRepository', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'BackupRepository',
    metadata: { name: 'br-1' },
  })
  return world
}

const execute = (world: World, item = stored(), restore = aRestore(), from = item) =>
  pvcRestorer(world.deps).execute(item, from, restore, world.log)
const clones = (world: World) => world.cluster.peekAll(KIND)

restorer('asks for a clone and lets Velero create the claim, waiting for a volume that is not there', async () => {
  const world = aReadyWorld()
  const { item, operationId, skipRestore, additionalItems } = await execute(world)
  assert.equal([operationId, skipRestore, additionalItems], [`shop/${NAME}`, false, []])
  assert.is((item as LooseObject)['spec'].volumeName, VOLUME)
  const [clone] = clones(world)
  assert.equal(item.metadata.annotations, { team: 'blue', 'dormouse.dev/clone': `shop/${NAME}` })
  assert.is(item.metadata.labels?.['dormouse.dev/clone-uid'], clone?.metadata.uid)
  assert.is(clone?.metadata.annotations?.['dormouse.dev/restored-volume'], VOLUME)
  assert.is(clone?.metadata.labels?.['velero.io/restore-uid'], RESTORE_UID)
  assert.is(clone?.metadata.annotations?.['dormouse.dev/velero-restore'], 'again')
  const { metadata, ...spec } = clone?.['spec'] ?? {}
  assert.equal(spec, {
    snapshotID: SNAPSHOT_ID,
    apiGroup: '',
    kind: 'PersistentVolumeClaim',
    backupRepository: 'br-1',
    cloneCancel: false,
  })
  assert.is(decodeClaimMetadata(metadata).metadata.name, 'orders')
  assert.is(world.cluster.peek('PersistentVolume', undefined, VOLUME), undefined)
})

restorer('maps namespace and class, in the clone as in the claim', async () => {
  const world = aReadyWorld()
  const map = aConfigMap('classes', { fast: 'slow' })
  map.metadata.labels = { 'velero.io/plugin-config': '', 'velero.io/change-storage-class': 'RestoreItemAction' }
  world.cluster.seed('ConfigMap', map)
  const restore = aRestore({ namespaceMapping: { shop: 'copy' } })
  await rejects(execute(world, stored(), restore), 'StorageClassNotFound')
  assert.is(clones(world).length, 0)
  world.cluster.seed('StorageClass', {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: 'slow' },
  })
  const { item, operationId } = await execute(world, stored(), restore)
  assert.is(operationId, `copy/${NAME}`)
  assert.equal([item.metadata.namespace, (item as LooseObject)['spec'].storageClassName], ['shop', 'slow'])
  const { metadata, spec } = decodeClaimMetadata(clones(world)[0]?.['spec'].metadata) as LooseObject
  assert.equal([metadata.namespace, spec.storageClassName], ['copy', 'slow'])
})

restorer(
  'called a second time in one chain, as with the Velero Plugin for vSphere beside it, warns and starts nothing',
  async () => {
    const world = aReadyWorld()
    const { item } = await execute(world)
    const second = await execute(world, item, aRestore(), stored())
    assert.equal(second, { item, additionalItems: [], skipRestore: false, operationId: '' })
    assert.ok(world.lines.at(-1)?.startsWith('warn another plugin'))
  },
)

restorer('twice, by two at once, and after a death on either side of the write: one clone', async () => {
  const world = aReadyWorld()
  assert.is((await execute(world)).operationId, (await execute(world)).operationId)
  const race = aReadyWorld()
  await Promise.all([execute(race), execute(race)])
  for (const one of [world, race]) assert.is(clones(one).length, 1)
  for (const when of ['before', 'after'] as const) {
    const dying = aReadyWorld()
    dying.cluster.failNext({ verb: 'create', kind: KIND, when, error: new TerminalError('Killed', 'died here') })
    await rejects(execute(dying), 'Killed')
    await execute(dying)
    assert.is(clones(dying).length, 1)
  }
})

restorer('called a second time in one chain starts nothing', async () => {
  const world = aReadyWorld()
  const first = await execute(world)
  const second = await execute(world, first.item, aRestore(), stored())
  assert.equal([second.operationId, second.item], ['', first.item])
})

restorer('a claim that exists is not touched, and a warning says so', async () => {
  const world = aReadyWorld()
  world.cluster.seed('PersistentVolumeClaim', aClaim())
  const { item, skipRestore, operationId } = await execute(world)
  assert.equal([skipRestore, operationId, clones(world).length], [false, '', 0])
  assert.is((item as LooseObject)['spec'].volumeName, VOLUME, 'made in spite of all it would wait, and not be empty')
  assert.match(world.lines[0] ?? '', 'warn TargetExists')
  const update = await execute(world, stored(), aRestore({ existingResourcePolicy: 'update' }))
  assert.equal([(update.item as LooseObject)['spec'].volumeName, update.operationId], [stored()['spec'].volumeName, ''])
  const mapped = await execute(world, stored(), aRestore({ namespaceMapping: { shop: 'copy' } }))
  assert.is(mapped.skipRestore, false)
})

restorer('restorePVs: false and claims without a snapshot are left to Velero, without our annotations', async () => {
  const world = aReadyWorld()
  for (const [item, restore] of [
    [stored(), aRestore({ restorePVs: false })],
    [aClaim(), aRestore()],
    [stored(), aRestore({ backupName: 'weekly' })],
  ] as const) {
    const answer = await execute(world, item, restore)
    assert.equal([answer.operationId, answer.skipRestore], ['', false])
    assert.equal(answer.item.metadata.annotations, { team: 'blue' })
    assert.is((answer.item as LooseObject)['spec'].volumeName, 'pv-orders')
  }
  assert.is(clones(world).length, 0)
})

restorer('a backup that did not end well is an error with its reason', async () => {
  const failed = stored({ phase: 'UploadFailedAfterRetry', reason: 'StoreUnavailable', message: 'S3 was away' })
  const error = await rejects(execute(aReadyWorld(), failed), 'BackupIncomplete')
  assert.match(error.message, 'StoreUnavailable: S3 was away')
})

restorer('in another cluster the repository is claimed from the location of the Backup', async () => {
  const world = aWorld()
  await rejects(execute(world), 'VeleroBackupMissing')
  world.cluster.seed('Backup', aBackup())
  world.cluster.seed('BackupStorageLocation', aLocation())
  await execute(world)
  const [claim] = world.cluster.peekAll('BackupRepositoryClaim')
  assert.is(clones(world)[0]?.['spec'].backupRepository, `br-${claim?.metadata.uid}`)
})

restorer(
  'progress follows the clone, never answers a passing trouble with an error, and knows what is not its own',
  async () => {
    const world = aReadyWorld()
    const { operationId } = await execute(world)
    const progress = (id = operationId, restore = aRestore()) =>
      pvcRestorer(world.deps).progress(id, restore, world.log)
    assert.is((await progress()).completed, false)
    world.cluster.failNext({
      verb: 'read',
      error: new RetryableError('KubernetesUnavailable', 'away', { origin: 'api' }),
    })
    assert.equal([(await progress()).completed, clones(world).length], [false, 1])
    const status = { phase: 'Completed', progress: { totalBytes: 9, bytesDone: 9 } }
    await world.cluster.patchStatus(KIND, clones(world)[0]!, status)
    const done = await progress()
    assert.equal([done.completed, done.error, done.nCompleted], [true, '', 9])
    const other = { ...aRestore(), metadata: { ...aRestore().metadata, uid: 'x1' } }
    for (const missing of [progress('shop/none'), progress('x'), progress(operationId, other)])
      assert.match((await missing).error, 'no CloneFromSnapshot of this Restore')
  },
)

restorer('cancel tells the clone to stop, and leaves alone what is over or gone', async () => {
  const world = aReadyWorld()
  const { operationId } = await execute(world)
  const cancel = (id: string) => pvcRestorer(world.deps).cancel(id, aRestore(), world.log)
  await cancel('shop/none')
  await cancel(operationId)
  const told = clones(world)[0]!
  assert.is(told['spec'].cloneCancel, true)
  await cancel(operationId)
  assert.is(clones(world)[0]?.metadata.resourceVersion, told.metadata.resourceVersion)
})

restorer('a PV whose data is backed up is marked in the backup and not brought back; others are', async () => {
  const world = aWorld()
  seedVolume(world)
  takeSnapshots(world)
  const backupper = pvcBackupper(world.deps)
  assert.ok((await backupper.appliesTo()).includedResources.includes('persistentvolumes'))
  const bound = (uid: string) => aVolume({ claimRef: { namespace: 'shop', name: 'orders', uid } })
  await backupper.execute(aClaim(), aBackup(), world.log)
  const mark = async (volume: LooseObject) => (await backupper.execute(volume, aBackup(), world.log)).item
  const skips = async (volume: LooseObject, restore = aRestore()) =>
    (await pvRestorer().execute(volume, volume, restore, world.log)).skipRestore
  const marked = await mark(bound(CLAIM_UID))
  assert.is(await skips(marked), true)
  assert.is(await skips(marked, aRestore({ restorePVs: false })), false)
  assert.is(await skips(await mark(bound('another'))), false)
  assert.equal(await mark(aVolume()), aVolume())
})

restorer.run()
