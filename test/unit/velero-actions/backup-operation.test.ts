// What Velero asks about a backup's operation: its progress, and to stop it.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { pvcBackupper } from '../../../velero/actions/backupper.ts'
import { aBackup, aClaim, aReadyWorld, BACKUP_UID, CLAIM_UID, NOW_MS, UPLOAD_NAME, type World } from './support.ts'

const operation = suite('the operation of a backup')

const OPERATION = `shop/snap-${BACKUP_UID}-${CLAIM_UID}`

const action = (world: World) => pvcBackupper(world.deps)
const execute = (world: World) => action(world).execute(aClaim(), aBackup(), world.log)
const snapshots = (world: World) => world.cluster.peekAll('Snapshot')

function anUpload(world: World, status: object): void {
  world.cluster.seed('Upload', {
    apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
    kind: 'Upload',
    metadata: { name: UPLOAD_NAME, namespace: 'velero' },
    spec: { snapshotReference: OPERATION },
    status,
  })
}

operation('progress comes from the objects, in another process as well', async () => {
  const world = aReadyWorld()
  const { operationId } = await execute(world)
  anUpload(world, { phase: 'InProgress', progress: { totalBytes: 100, bytesDone: 40 } })
  const shown = await action(world).progress(operationId, aBackup(), world.log)
  assert.equal([shown.completed, shown.nCompleted, shown.nTotal, shown.operationUnits], [false, 40, 100, 'bytes'])
  assert.is(shown.startedMs, NOW_MS)
})

operation('progress never answers a trouble of the API with an error', async () => {
  const world = aReadyWorld()
  const { operationId } = await execute(world)
  for (const error of [
    new RetryableError('KubernetesUnavailable', 'away', { origin: 'api' }),
    new TerminalError('Forbidden', 'no right'),
  ]) {
    world.cluster.failNext({ verb: 'read', error })
    const shown = await action(world).progress(operationId, aBackup(), world.log)
    assert.equal([shown.completed, shown.error], [false, ''])
  }
})

operation('progress of a Snapshot that is gone, of another Backup, or of no id at all has failed', async () => {
  const world = aReadyWorld()
  const { operationId } = await execute(world)
  const other = { ...aBackup(), metadata: { ...aBackup().metadata, uid: 'x1' } }
  for (const [id, backup] of [
    [operationId, other],
    ['shop/other', aBackup()],
    ['', aBackup()],
  ] as const) {
    const { completed, error } = await action(world).progress(id, backup, world.log)
    assert.is(completed, true)
    assert.match(error, 'SnapshotGone')
  }
})

operation('cancel tells the Snapshot to stop, once, also after a conflict', async () => {
  const world = aReadyWorld()
  const { operationId } = await execute(world)
  world.clock.onSleep = () => {}
  let moved = false
  const racing = {
    ...world.deps,
    cluster: Object.create(world.cluster, {
      read: {
        value: async (...args: Parameters<typeof world.cluster.read>) => {
          const seen = await world.cluster.read(...args)
          if (!moved && seen !== undefined) {
            moved = true
            await world.cluster.patchStatus('Snapshot', seen as LooseObject, { message: 'someone wrote first' })
          }
          return seen
        },
      },
      patch: { value: world.cluster.patch.bind(world.cluster) },
    }),
  }
  await pvcBackupper(racing).cancel(operationId, aBackup(), world.log)
  const cancelled = snapshots(world)[0]!
  assert.is(cancelled['spec'].snapshotCancel, true)
  await action(world).cancel(operationId, aBackup(), world.log)
  assert.is(snapshots(world)[0]?.metadata.resourceVersion, cancelled.metadata.resourceVersion)
})

operation("cancel leaves alone what is over, gone, or another Backup's", async () => {
  const world = aReadyWorld()
  const { operationId } = await execute(world)
  const other = { ...aBackup(), metadata: { ...aBackup().metadata, uid: 'x1' } }
  await action(world).cancel(operationId, other, world.log)
  await action(world).cancel('shop/none', aBackup(), world.log)
  await action(world).cancel('nonsense', aBackup(), world.log)
  await world.cluster.patchStatus('Snapshot', snapshots(world)[0]!, { phase: 'Uploaded' })
  await action(world).cancel(operationId, aBackup(), world.log)
  assert.is(snapshots(world)[0]?.['spec'].snapshotCancel, undefined)
})

operation.run()
