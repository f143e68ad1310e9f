// The functions do what Velero's actions ask for: a backup, its cancel and its deletion through both.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { conditionOf } from '#shared/domain/conditions.ts'
import { HOUR_MS, KiB, MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { pvcDeleter } from '../../velero/actions/deleter.ts'
import { storedSnapshot } from '../../velero/domain/blob.ts'
import { assertNothingLeft } from './invariants.ts'
import { aSnapshot } from './objects.ts'
import { aVelero, backupIn, silent, type Velero } from './velero.ts'

const actions = suite("Velero's actions with the functions")

const MOST_TURNS = 20_000

async function untilOver(velero: Velero, operationId: string): Promise<{ error: string; nCompleted: number }> {
  const { backupper, deps } = velero
  const backup = await backupIn(velero, 'WaitingForPluginOperations')
  for (let asked = 0; asked < MOST_TURNS; asked++) {
    const progress = await backupper.progress(operationId, backup, silent)
    if (progress.completed) return progress
    await deps.clock.sleep(10 * SECOND_MS)
  }
  throw new Error('the operation has no end')
}

actions(
  'a backup is over when its data is whole, its blob is brought up to date, and its deletion leaves nothing',
  async () => {
    const velero = aVelero()
    const { world, deps, claim, backupper } = velero
    const { item, operationId } = await backupper.execute(claim, await backupIn(velero, 'InProgress'), silent)
    assert.ok(storedSnapshot(item as LooseObject)?.snapshotID)
    const { error, nCompleted } = await untilOver(velero, operationId)
    assert.equal([error, nCompleted, world.bucket.backups.size], ['', 64 * KiB, 1])
    await world.drain()
    const final = (await backupper.execute(claim, await backupIn(velero, 'Finalizing'), silent)).item
    assert.is(storedSnapshot(final as LooseObject)?.phase, 'Uploaded')
    await pvcDeleter(deps).execute(final, await backupIn(velero, 'Deleting'), silent)
    assert.is(world.bucket.backups.size, 0)
    await world.run(() => world.heldLeases.length === 0)
    assertNothingLeft(world)
  },
)

for (const metadata of [
  { labels: { 'dormouse.dev/step': 'waiting' }, annotations: { 'dormouse.dev/due': '2999-01-01T00:00:00Z' } },
  { labels: { 'dormouse.dev/step': 'queued' } },
])
  actions(
    `a label of its tenant hides no Snapshot from the sweep (${metadata.labels['dormouse.dev/step']})`,
    async () => {
      const velero = aVelero()
      const { world, backupper, claim } = velero
      world.cluster.onEvent({ kind: 'Snapshot' }, ({ type, namespace, name }) => {
        const isNew =
          world.cluster.peek('Snapshot', namespace, name)?.metadata.labels?.['dormouse.dev/step'] === undefined
        const seen = { metadata: { namespace, name } } as LooseObject
        if (type !== 'delete' && isNew) void world.cluster.patch('Snapshot', seen, { metadata })
      })
      world.eventsOn = false // The label keeps it out of the selector of every event source.
      const from = world.clock.nowMs()
      await backupper.execute(claim, await backupIn(velero, 'InProgress'), silent)
      assert.ok(world.clock.nowMs() - from < 3 * MINUTE_MS)
    },
  )

actions('a deletion that cannot be finished says why, and is tried again after Velero has given it up', async () => {
  const velero = aVelero()
  const { world, deps, claim, backupper } = velero
  const { operationId } = await backupper.execute(claim, await backupIn(velero, 'InProgress'), silent)
  await untilOver(velero, operationId)
  await world.drain()
  const { item } = await backupper.execute(claim, await backupIn(velero, 'Finalizing'), silent)
  world.faults.leave('store', HOUR_MS)
  const asked = pvcDeleter(deps).execute(item, await backupIn(velero, 'Deleting'), silent)
  const { reason } = (await asked.catch((error: { reason: string }) => error)) ?? {}
  assert.is(reason, 'DeleteNotFinished')
  const deletion = () => world.cluster.peekAll('DeleteSnapshot')[0]?.['status']
  assert.is(deletion()?.phase, 'InProgress')
  assert.is(conditionOf(deletion()?.conditions, 'Removed')?.reason, 'S3Unavailable')
  const told = world.cluster.peekAll('Event').find(({ involvedObject }) => involvedObject.kind === 'DeleteSnapshot')
  assert.equal([told?.['type'], told?.['reason']], ['Warning', 'S3Unavailable'])
  await world.run(() => deletion()?.phase === 'Completed')
  assert.is(world.bucket.backups.size, 0)
})

actions('a cancelled operation fails with that reason and leaves nothing', async () => {
  const velero = aVelero()
  const { world, claim, backupper } = velero
  const { operationId } = await backupper.execute(claim, await backupIn(velero, 'InProgress'), silent)
  await backupper.cancel(operationId, await backupIn(velero, 'WaitingForPluginOperations'), silent)
  assert.match((await untilOver(velero, operationId)).error, 'Canceled')
  await world.run(() => world.heldLeases.length === 0)
  assert.is(world.bucket.backups.size, 0)
  assertNothingLeft(world)
})

actions('an upload that cannot be tried again in time ends with its own reason, before Velero gives up', async () => {
  const velero = aVelero('18m')
  const { world, claim, backupper } = velero
  world.faults.leave('store', 2 * HOUR_MS)
  const startedMs = world.clock.nowMs()
  const { operationId } = await backupper.execute(claim, await backupIn(velero, 'InProgress'), silent)
  const { error } = await untilOver(velero, operationId)
  assert.match(error, 'UploadFailedAfterRetry: S3Unavailable')
  assert.match(error, "the backup's time limit of operations leaves no room for another attempt")
  // Attempts are made after 0, 1, 3 and 7 minutes; the next one would come after 15.
  const endedMs = Date.parse(world.cluster.peekAll('Upload')[0]?.['status']?.completionTimestamp ?? '')
  assert.is(Math.floor((endedMs - startedMs) / MINUTE_MS), 7)
  await world.run(() => world.heldLeases.length === 0)
  assertNothingLeft(world)
})

actions('a backup whose deadline is no valid time still ends', async () => {
  const { world } = aVelero()
  aSnapshot(world, 'snap', 'data')
  const snapshot = world.cluster.peek('Snapshot', 'app', 'snap')
  assert.ok(snapshot)
  const annotations = { 'dormouse.dev/operation-deadline': 'soon' }
  await world.cluster.patch('Snapshot', snapshot, { metadata: { annotations } })
  world.faults.leave('store', 10 * MINUTE_MS)
  await world.run(() => world.isQuiet())
  assert.is(world.cluster.peek('Snapshot', 'app', 'snap')?.['status']?.phase, 'Uploaded', world.describe())
})

actions.run()
