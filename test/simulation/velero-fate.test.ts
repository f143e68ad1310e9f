// A Backup or a Restore that fails or disappears sends no event: the sweep finds out, and stops the work that was made for it.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KindName } from '#shared/api/kinds.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { HOUR_MS, MINUTE_MS } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { assertNothingLeft } from './invariants.ts'
import { aClone, aSnapshot, isDone } from './objects.ts'
import { aVelero, backupIn, seedOf, silent, type Velero } from './velero.ts'
import type { World } from './world.ts'

const fate = suite('the fate of a Backup')

/** Longer than several sweeps, so that the work waits for its next attempt. */
const OUTAGE_MS = 5 * MINUTE_MS

async function beginBackup(velero: Velero): Promise<void> {
  const { world, backupper, claim } = velero
  world.faults.leave('store', OUTAGE_MS)
  await backupper.execute(claim, await backupIn(velero, 'InProgress'), silent)
}

async function removeBackup(velero: Velero): Promise<void> {
  await velero.world.cluster.delete('Backup', await backupIn(velero, 'WaitingForPluginOperations'))
}

const only = (world: World, kind: KindName): LooseObject => {
  const [object] = world.cluster.peekAll(kind)
  assert.ok(object, `there is no ${kind}`)
  return object
}

async function untilDone(world: World, kind: KindName): Promise<string> {
  await world.run(() => isDone(only(world, kind)) && world.claimLeases.length === 0)
  return only(world, kind)['status'].phase
}

function told(world: World): unknown[] {
  const events = world.cluster.peekAll('Event').filter(({ reason }) => reason === 'VeleroGaveUp')
  return events.map((event) => event['message'])
}

function assertTold(world: World, message: string): void {
  assert.equal(told(world), [`${message}: nobody waits for this any more, so it was cancelled`])
}

/** Makes a complete backup that Velero has not asked about yet. Returns its operation. */
async function backUpWhole(velero: Velero): Promise<string> {
  const { world, backupper, claim } = velero
  const { operationId } = await backupper.execute(claim, await backupIn(velero, 'InProgress'), silent)
  assert.is(await untilDone(world, 'Snapshot'), 'Uploaded', world.describe())
  return operationId
}

async function forAnHour(world: World): Promise<void> {
  const fromMs = world.clock.nowMs()
  await world.run(() => world.clock.nowMs() - fromMs > HOUR_MS)
}

const LOST: [name: string, lose: (velero: Velero) => Promise<unknown>, told: string][] = [
  ['has failed', (velero) => backupIn(velero, 'Failed'), 'Backup nightly is Failed'],
  ['is gone', removeBackup, 'Backup nightly is gone'],
  ['has ended without it', (velero) => backupIn(velero, 'PartiallyFailed'), 'Backup nightly has ended without it'],
  [
    'was made anew',
    async (velero) => {
      await removeBackup(velero)
      seedOf(velero.world, 'Backup', 'nightly', {})
    },
    'Backup nightly is gone, another one has its name',
  ],
]
for (const [name, lose, told] of LOST) {
  fate(`what was made for a Backup that ${name} is cancelled, and nothing of it is left`, async () => {
    const velero = aVelero()
    const { world } = velero
    await beginBackup(velero)
    await lose(velero)
    assert.is(await untilDone(world, 'Snapshot'), 'Canceled', world.describe())
    assertTold(world, told)
    assert.is(world.bucket.backups.size, 0)
    assertNothingLeft(world)
  })
}

for (const phase of ['Failed', 'PartiallyFailed', 'Completed']) {
  fate(`whole data that Velero never asked about goes when its Backup is ${phase}, once`, async () => {
    const velero = aVelero()
    const { world } = velero
    await backUpWhole(velero)
    assert.is(world.bucket.backups.size, 1)
    await backupIn(velero, phase)
    await world.run(() => world.cluster.peekAll('DeleteSnapshot').some(isDone))
    assert.is(only(world, 'DeleteSnapshot')['status'].phase, 'Completed')
    assert.is(world.bucket.backups.size, 0)
    await forAnHour(world)
    const { name } = only(world, 'DeleteSnapshot').metadata
    assert.equal(told(world), [
      `Backup nightly does not hold this backup, so its data is removed by DeleteSnapshot ${name}`,
    ])
    assertNothingLeft(world)
  })
}

fate('a sweep that dies before it has recorded a removal repeats it without harm', async () => {
  const velero = aVelero()
  const { world } = velero
  await backUpWhole(velero)
  await backupIn(velero, 'Failed')
  const error = new RetryableError('KubernetesUnavailable', 'gone', { origin: 'api' })
  world.cluster.failNext({ verb: 'patch', kind: 'Snapshot', times: 1, error })
  await world.run(() => only(world, 'Snapshot').metadata.annotations?.['dormouse.dev/velero-operation'] === 'removed')
  await world.run(() => isDone(only(world, 'DeleteSnapshot')))
  assert.is(world.bucket.backups.size, 0)
  assertNothingLeft(world)
})

fate('data that Velero has asked about stays when its Backup has ended', async () => {
  const velero = aVelero()
  const { world, backupper } = velero
  const operationId = await backUpWhole(velero)
  const waiting = await backupIn(velero, 'WaitingForPluginOperations')
  assert.is((await backupper.progress(operationId, waiting, silent)).completed, true)
  await backupIn(velero, 'Completed')
  await forAnHour(world)
  assert.is(world.bucket.backups.size, 1)
  assert.equal(world.cluster.peekAll('DeleteSnapshot'), [])
})

fate('an operation is reported as complete only after the record that Velero has asked about it', async () => {
  const velero = aVelero()
  const { world, backupper } = velero
  const operationId = await backUpWhole(velero)
  const waiting = await backupIn(velero, 'WaitingForPluginOperations')
  const error = new RetryableError('KubernetesUnavailable', 'away', { origin: 'api' })
  world.cluster.failNext({ verb: 'patch', kind: 'Snapshot', times: 1, error })
  const early = await backupper.progress(operationId, waiting, silent)
  assert.equal([early.completed, early.error], [false, ''])
  assert.is((await backupper.progress(operationId, waiting, silent)).completed, true)
})

fate('data of a Backup that is gone stays: Velero finds it in the bucket again, under another UID', async () => {
  const velero = aVelero()
  const { world } = velero
  await backUpWhole(velero)
  await removeBackup(velero)
  await forAnHour(world)
  assert.is(world.bucket.backups.size, 1)
  assert.equal(world.cluster.peekAll('DeleteSnapshot'), [])
})

fate('a Backup that cannot be read is not taken for gone', async () => {
  const velero = aVelero()
  const { world } = velero
  await beginBackup(velero)
  await removeBackup(velero)
  const error = new RetryableError('KubernetesKindMissing', 'the kind is not served', { origin: 'api' })
  world.cluster.failNext({ verb: 'read', kind: 'Backup', times: 1000, error })
  assert.is(await untilDone(world, 'Snapshot'), 'Uploaded', world.describe())
})

fate('the records of a Backup stay until it has ended, however old they are', async () => {
  const velero = aVelero()
  const { world, backupper } = velero
  const operationId = await backUpWhole(velero)
  await backupper.progress(operationId, await backupIn(velero, 'WaitingForPluginOperations'), silent)
  const startedMs = world.clock.nowMs()
  await backupIn(velero, 'FinalizingPartiallyFailed')
  await world.run(() => world.clock.nowMs() - startedMs > 26 * HOUR_MS, 27 * HOUR_MS)
  assert.equal([world.cluster.peekAll('Snapshot').length, world.cluster.peekAll('Upload').length], [1, 1])
  await backupIn(velero, 'PartiallyFailed')
  await world.run(() => world.cluster.peekAll('Snapshot').length + world.cluster.peekAll('Upload').length === 0)
})

for (const [phase, why] of [
  ['Failed', 'is Failed'],
  ['PartiallyFailed', 'has ended without it'],
] as const)
  fate(`what was made for a Restore that ${why} is cancelled, and nothing of it is left`, async () => {
    const { world } = aVelero()
    aSnapshot(world, 'snap', 'data')
    assert.is(await untilDone(world, 'Snapshot'), 'Uploaded')
    world.faults.leave('store', OUTAGE_MS)
    aClone(world, 'clone', only(world, 'Snapshot'))
    const restore = seedOf(world, 'Restore', 'again', { backupName: 'nightly' })
    const labels = { 'velero.io/restore-uid': restore.metadata.uid }
    const annotations = { 'dormouse.dev/velero-restore': 'again', 'dormouse.dev/velero-operation': 'requested' }
    await world.cluster.patch('CloneFromSnapshot', only(world, 'CloneFromSnapshot'), {
      metadata: { labels, annotations },
    })
    await world.run(() => world.cluster.peekAll('Download').some((each) => each['status']?.phase === 'Retry'))
    await world.cluster.patch('Restore', restore, { status: { phase } })
    assert.is(await untilDone(world, 'CloneFromSnapshot'), 'Canceled', world.describe())
    assertTold(world, `Restore again ${why}`)
    await untilDone(world, 'Download')
    assertNothingLeft(world)
  })

fate.run()
