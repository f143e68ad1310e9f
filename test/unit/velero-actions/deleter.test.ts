// The DeleteItemAction over a cluster in memory.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { pvcDeleter } from '../../../velero/actions/deleter.ts'
import { encodeBlob, withBlob } from '../../../velero/domain/blob.ts'
import { BLOB_ANNOTATION } from '../../../velero/domain/names.ts'
import { aBackup, aClaim, aLocation, aWorld, NOW_MS, rejects, SNAPSHOT_ID, unlessFirst, type World } from './support.ts'

const deleter = suite('the delete action')

const UID = '7f0e8a52-9a54-4ce0-8b5e-0c6c1a8c7b11'
const KIND = 'DeleteSnapshot'

function aSnapshot(status: object = { phase: 'Uploaded', snapshotID: SNAPSHOT_ID }): LooseObject {
  return {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'Snapshot',
    metadata: { name: 'snap-1', namespace: 'shop', uid: UID, labels: { 'velero.io/backup-name': 'nightly' } },
    spec: { backupRepository: 'br-1', resourceHandle: { kind: 'PersistentVolumeClaim', name: 'orders' } },
    status,
  }
}

const stored = (snapshot = aSnapshot()) => withBlob(aClaim(), snapshot, '0.1.0')
const execute = (world: World, item: LooseObject = stored(), backup = aBackup()) =>
  pvcDeleter(world.deps).execute(item, backup, world.log)

/** While the action sleeps, the delete function gives each DeleteSnapshot its status. */
function deletes({ cluster, clock }: World, status: object): void {
  clock.onSleep = async () => {
    for (const object of cluster.peekAll(KIND))
      if (object['status'] === undefined) await unlessFirst(cluster.patchStatus(KIND, object, status))
  }
}

function aReadyWorld(): World {
  const world = aWorld()
  world.cluster.seed('BackupRepository', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'BackupRepository',
    metadata: { name: 'br-1' },
  })
  deletes(world, { phase: 'Completed' })
  return world
}

deleter('asks for the deletion of what the stored claim names, and waits until it is gone', async () => {
  const world = aReadyWorld()
  await execute(world)
  const [object, ...more] = world.cluster.peekAll(KIND)
  assert.is(more.length, 0)
  assert.equal([object?.metadata.name, object?.metadata.namespace], [`delete-${UID}`, 'velero'])
  assert.equal(object?.['spec'], { snapshotID: SNAPSHOT_ID, backupRepository: 'br-1' })
  const { annotations } = object?.metadata ?? {}
  assert.equal(
    annotations,
    { 'dormouse.dev/on-behalf-of': 'shop', 'dormouse.dev/velero-backup': 'nightly' },
    'the id is of the namespace and the Backup, and so are the rights',
  )
  assert.is(world.clock.nowMs() - NOW_MS, 1000)
})

deleter('twice, by two at once, and after a death on either side of the write: one DeleteSnapshot', async () => {
  const world = aReadyWorld()
  await execute(world)
  await execute(world)
  const race = aReadyWorld()
  await Promise.all([execute(race), execute(race)])
  for (const { cluster } of [world, race]) assert.is(cluster.peekAll(KIND).length, 1)
  for (const when of ['before', 'after'] as const) {
    const dying = aReadyWorld()
    dying.cluster.failNext({ verb: 'create', kind: KIND, when, error: new TerminalError('Killed', 'died here') })
    await rejects(execute(dying), 'Killed')
    await execute(dying)
    assert.is(dying.cluster.peekAll(KIND).length, 1)
  }
})

deleter('a claim without a blob is ignored', async () => {
  const world = aReadyWorld()
  await execute(world, aClaim())
  assert.is(world.cluster.peekAll(KIND).length, 0)
})

deleter('a blob that an earlier restore has left on the claim does not delete the other backup', async () => {
  const world = aReadyWorld()
  await execute(world, stored(), aBackup({}, { name: 'weekly' }))
  assert.is(world.cluster.peekAll(KIND).length, 0)
  assert.match(world.lines[0] ?? '', 'warn Snapshot shop/snap-1 is of another backup')
})

deleter('a blob that cannot be read is an error', async () => {
  await rejects(execute(aReadyWorld(), aClaim({ annotations: { [BLOB_ANNOTATION]: 'x' } })), 'SnapshotBlobInvalid')
})

deleter('a deletion that has failed says why', async () => {
  const world = aReadyWorld()
  deletes(world, { phase: 'Failed', reason: 'SnapshotIDInvalid', message: 'no disk' })
  const error = await rejects(execute(world), 'DeleteFailed')
  assert.match(error.message, 'SnapshotIDInvalid: no disk')
})

deleter('a deletion that takes too long is an error that says what it waits for, and stays', async () => {
  const world = aReadyWorld()
  deletes(world, { phase: 'InProgress', reason: 'StoreUnavailable', message: 'S3 is away' })
  const error = await rejects(execute(world, stored(), aBackup({}, { timeout: '1m' })), 'DeleteNotFinished')
  assert.match(error.message, 'not done after 60 s')
  assert.match(error.message, 'StoreUnavailable: S3 is away')
  assert.is(world.clock.nowMs() - NOW_MS, 60_000)
  assert.is(world.cluster.peekAll(KIND).length, 1)
})

deleter('a DeleteSnapshot that vanishes counts as no success', async () => {
  const world = aReadyWorld()
  world.clock.onSleep = () => world.cluster.delete(KIND, world.cluster.peekAll(KIND)[0]!)
  await rejects(execute(world), 'DeleteNotFinished')
})

deleter('in another cluster the repository is claimed from the location of the Backup', async () => {
  const world = aWorld()
  world.cluster.seed('BackupStorageLocation', aLocation())
  deletes(world, { phase: 'Completed' })
  await execute(world)
  const [claim] = world.cluster.peekAll('BackupRepositoryClaim')
  assert.equal(claim?.['allowedNamespaces'], ['shop'])
  assert.is(world.cluster.peekAll(KIND)[0]?.['spec'].backupRepository, `br-${claim?.metadata.uid}`)
})

deleter('a local backup needs no repository', async () => {
  const world = aWorld()
  deletes(world, { phase: 'Completed' })
  const snapshot = aSnapshot({ phase: 'Snapshotted', snapshotID: SNAPSHOT_ID })
  snapshot['spec'].backupRepository = ''
  await execute(world, stored(snapshot))
  assert.is(world.cluster.peekAll(KIND)[0]?.['spec'].backupRepository, '')
})

deleter('for a backup that was stored before its disk snapshot, the Snapshot has the id', async () => {
  const world = aReadyWorld()
  const live = world.cluster.seed('Snapshot', aSnapshot())
  const early = { ...aSnapshot({ phase: 'New' }), metadata: { ...aSnapshot().metadata, uid: live.metadata.uid! } }
  await execute(world, stored(early))
  assert.is(world.cluster.peekAll(KIND)[0]?.['spec'].snapshotID, SNAPSHOT_ID)
})

deleter(
  'a backup whose disk snapshot is still to come is told to stop; one that is gone has stored nothing',
  async () => {
    const world = aReadyWorld()
    const live = world.cluster.seed('Snapshot', aSnapshot({ phase: 'New' }))
    const early = { ...aSnapshot({ phase: 'New' }), metadata: { ...aSnapshot().metadata, uid: live.metadata.uid! } }
    await execute(world, stored(early))
    assert.is(world.cluster.peek('Snapshot', 'shop', 'snap-1')?.['spec'].snapshotCancel, true)
    await execute(world, stored(aSnapshot({ phase: 'New' })))
    assert.is(world.cluster.peekAll(KIND).length, 0)
  },
)

deleter('a UID out of a bucket does not become a name', async () => {
  const odd = { ...aSnapshot(), metadata: { ...aSnapshot().metadata, uid: '../x' } }
  const item = aClaim({ annotations: { [BLOB_ANNOTATION]: encodeBlob(odd) } })
  await rejects(execute(aReadyWorld(), item), 'VeleroObjectInvalid')
})

deleter(
  'one that an earlier release has made acts for the namespace from here on; one for another is an error',
  async () => {
    const world = aReadyWorld()
    const seed = (annotations: Record<string, string>) =>
      world.cluster.seed(KIND, {
        apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
        kind: KIND,
        metadata: { name: `delete-${UID}`, namespace: 'velero', annotations },
        spec: { snapshotID: SNAPSHOT_ID, backupRepository: 'br-1' },
      })
    seed({})
    await execute(world)
    const [object] = world.cluster.peekAll(KIND)
    assert.is(object?.metadata.annotations?.['dormouse.dev/on-behalf-of'], 'shop')
    await world.cluster.delete(KIND, object!)
    seed({ 'dormouse.dev/on-behalf-of': 'bank' })
    await rejects(execute(world), 'NameTaken')
  },
)

deleter('a blob of another namespace than its claim deletes nothing', async () => {
  const world = aReadyWorld()
  const forged = { ...aSnapshot(), metadata: { ...aSnapshot().metadata, namespace: 'bank' } }
  await execute(world, stored(forged))
  assert.is(world.cluster.peekAll(KIND).length, 0)
  assert.is(world.cluster.peekAll('BackupRepositoryClaim').length, 0)
  assert.match(world.lines[0] ?? '', 'its data stays')
})

deleter('a DeleteSnapshot of another backup at that name is an error', async () => {
  const world = aReadyWorld()
  await execute(world)
  const other = aSnapshot({ phase: 'Uploaded', snapshotID: SNAPSHOT_ID.replace('orders', 'others') })
  await rejects(execute(world, stored(other)), 'NameTaken')
})

deleter.run()
