// What Velero's actions ask for is what the functions do: a backup, its cancel and its deletion through both.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '#shared/api/kinds.ts'
import { HOUR_MS, KiB, MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import { pvcBackupper } from '../../velero/actions/backupper.ts'
import { pvcDeleter } from '../../velero/actions/deleter.ts'
import type { ActionDeps } from '../../velero/actions/deps.ts'
import { storedSnapshot } from '../../velero/domain/blob.ts'
import { noiseOf } from './choices.ts'
import { assertNothingLeft } from './invariants.ts'
import { aSnapshot, aVolume } from './objects.ts'
import { World } from './world.ts'

const actions = suite("Velero's actions with the functions")

const BACKUP_UID = '0b9f3c1e-8f0a-4f52-9d0e-4a1d8e9f1a2b'
const MOST_TURNS = 20_000
const silent = { info() {}, warn() {} }

function aBackup(phase: string, itemOperationTimeout = '4h0m0s'): KubeObject {
  const spec = { storageLocation: 'default', itemOperationTimeout }
  const metadata = { name: 'nightly', namespace: 'velero', uid: BACKUP_UID }
  return { apiVersion: 'velero.io/v1', kind: 'Backup', metadata, spec, status: { phase } }
}

/** While an action sleeps, the world takes one turn: its time comes in leaps, and a whole upload would fit into one of them. */
function actIn(world: World): ActionDeps {
  const { cluster, clock } = world
  const sleep = () => world.turn()
  const waiting = { nowMs: () => clock.nowMs(), monotonicMs: () => clock.monotonicMs(), sleep }
  return { cluster, clock: waiting, veleroNamespace: 'velero', pluginVersion: '0.1.0' }
}

function aWorld(): { world: World; deps: ActionDeps; claim: KubeObject } {
  const world = new World(7)
  world.volumes.write(aVolume(world, 'data'), 64 * KiB, noiseOf('data', 64 * KiB))
  world.cluster.seed('BackupStorageLocation', {
    apiVersion: 'velero.io/v1',
    kind: 'BackupStorageLocation',
    metadata: { name: 'default', namespace: 'velero' },
    spec: { provider: 'aws', objectStorage: { bucket: 'backups' } },
  })
  const claim = world.cluster.peek('PersistentVolumeClaim', 'app', 'data')
  assert.ok(claim)
  return { world, deps: actIn(world), claim }
}

async function untilOver(deps: ActionDeps, operationId: string): Promise<{ error: string; nCompleted: number }> {
  const backupper = pvcBackupper(deps, { blocked: { resources: [], strict: false } })
  for (let asked = 0; asked < MOST_TURNS; asked++) {
    const progress = await backupper.progress(operationId, aBackup('WaitingForPluginOperations'), silent)
    if (progress.completed) return progress
    await deps.clock.sleep(10 * SECOND_MS)
  }
  throw new Error('the operation has no end')
}

actions(
  'a backup is over when its data is whole, its blob is brought up to date, and its deletion leaves nothing',
  async () => {
    const { world, deps, claim } = aWorld()
    const backupper = pvcBackupper(deps, { blocked: { resources: [], strict: false } })
    const { item, operationId } = await backupper.execute(claim, aBackup('InProgress'), silent)
    assert.ok(storedSnapshot(item)?.snapshotID)
    const { error, nCompleted } = await untilOver(deps, operationId)
    assert.equal([error, nCompleted, world.bucket.backups.size], ['', 64 * KiB, 1])
    await world.drain()
    const final = (await backupper.execute(claim, aBackup('Finalizing'), silent)).item
    assert.is(storedSnapshot(final)?.phase, 'Uploaded')
    await pvcDeleter(deps).execute(final, aBackup('Deleting'), silent)
    assert.is(world.bucket.backups.size, 0)
    await world.run(() => world.heldLeases.length === 0)
    assertNothingLeft(world)
  },
)

actions('a cancelled operation fails with that reason and leaves nothing', async () => {
  const { world, deps, claim } = aWorld()
  const backupper = pvcBackupper(deps, { blocked: { resources: [], strict: false } })
  const { operationId } = await backupper.execute(claim, aBackup('InProgress'), silent)
  await backupper.cancel(operationId, aBackup('WaitingForPluginOperations'), silent)
  assert.match((await untilOver(deps, operationId)).error, 'Canceled')
  await world.run(() => world.heldLeases.length === 0)
  assert.is(world.bucket.backups.size, 0)
  assertNothingLeft(world)
})

actions('an upload that cannot be tried again in time ends with its own reason, before Velero gives up', async () => {
  const { world, deps, claim } = aWorld()
  world.sky.leave('store', 2 * HOUR_MS)
  const startedMs = world.clock.nowMs()
  const backupper = pvcBackupper(deps, { blocked: { resources: [], strict: false } })
  const { operationId } = await backupper.execute(claim, aBackup('InProgress', '18m'), silent)
  const { error } = await untilOver(deps, operationId)
  assert.match(error, 'UploadFailedAfterRetry: S3Unavailable')
  assert.match(error, "the backup's time limit of operations leaves no room for another attempt")
  // Attempts after 0, 1, 3 and 7 minutes; the next one would come after 15.
  const endedMs = Date.parse(world.cluster.peekAll('Upload')[0]?.['status'].completionTimestamp)
  assert.is(Math.floor((endedMs - startedMs) / MINUTE_MS), 7)
  await world.run(() => world.heldLeases.length === 0)
  assertNothingLeft(world)
})

actions('a deadline that is no time keeps no backup from its end', async () => {
  const { world } = aWorld()
  aSnapshot(world, 'snap', 'data')
  const snapshot = world.cluster.peek('Snapshot', 'app', 'snap')
  assert.ok(snapshot)
  const annotations = { 'dormouse.dev/operation-deadline': 'soon' }
  await world.cluster.patch('Snapshot', snapshot, { metadata: { annotations } })
  world.sky.leave('store', 10 * MINUTE_MS)
  await world.run(() => world.isQuiet())
  assert.is(world.cluster.peek('Snapshot', 'app', 'snap')?.['status']?.phase, 'Uploaded', world.describe())
})

actions.run()
