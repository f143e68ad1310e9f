// A Backup or a Restore that fails or goes away tells nobody: the sweep finds out, and stops what was made for it.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KindName, KubeObject } from '#shared/api/kinds.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { HOUR_MS, MINUTE_MS } from '#shared/kernel/units.ts'
import { assertNothingLeft } from './invariants.ts'
import { aClone, aSnapshot, isDone } from './objects.ts'
import { aVelero, backupIn, seedOf, silent, type Velero } from './velero.ts'
import type { World } from './world.ts'

const fate = suite('the fate of a Backup')

/** Longer than several sweeps, so that what is made waits for its next attempt. */
const OUTAGE_MS = 5 * MINUTE_MS

async function beginBackup(velero: Velero): Promise<void> {
  const { world, backupper, claim } = velero
  world.sky.leave('store', OUTAGE_MS)
  await backupper.execute(claim, await backupIn(velero, 'InProgress'), silent)
}

async function removeBackup(velero: Velero): Promise<void> {
  await velero.world.cluster.delete('Backup', await backupIn(velero, 'WaitingForPluginOperations'))
}

const only = (world: World, kind: KindName): KubeObject => {
  const [object] = world.cluster.peekAll(kind)
  assert.ok(object, `there is no ${kind}`)
  return object
}

async function untilDone(world: World, kind: KindName): Promise<string> {
  await world.run(() => isDone(only(world, kind)) && world.claimLeases.length === 0)
  return only(world, kind)['status'].phase
}

function assertTold(world: World, message: string): void {
  const told = world.cluster.peekAll('Event').filter(({ reason }) => reason === 'VeleroGaveUp')
  assert.equal(
    told.map((event) => event['message']),
    [`${message}: nobody waits for this any more, so it was cancelled`],
  )
}

const LOST: [name: string, lose: (velero: Velero) => Promise<unknown>, told: string][] = [
  ['has failed', (velero) => backupIn(velero, 'Failed'), 'Backup nightly is Failed'],
  ['is gone', removeBackup, 'Backup nightly is gone'],
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

fate('a Backup that cannot be read is not taken for gone', async () => {
  const velero = aVelero()
  const { world } = velero
  await beginBackup(velero)
  await removeBackup(velero)
  const error = new RetryableError('KubernetesKindMissing', 'the kind is not served')
  world.cluster.failNext({ verb: 'read', kind: 'Backup', times: 1000, error })
  assert.is(await untilDone(world, 'Snapshot'), 'Uploaded', world.describe())
})

fate('the records of a Backup stay until it has ended, however old they are', async () => {
  const velero = aVelero()
  const { world, backupper, claim } = velero
  await backupper.execute(claim, await backupIn(velero, 'InProgress'), silent)
  assert.is(await untilDone(world, 'Snapshot'), 'Uploaded')
  const startedMs = world.clock.nowMs()
  await backupIn(velero, 'FinalizingPartiallyFailed')
  await world.run(() => world.clock.nowMs() - startedMs > 26 * HOUR_MS, 27 * HOUR_MS)
  assert.equal([world.cluster.peekAll('Snapshot').length, world.cluster.peekAll('Upload').length], [1, 1])
  await backupIn(velero, 'PartiallyFailed')
  await world.run(() => world.cluster.peekAll('Snapshot').length + world.cluster.peekAll('Upload').length === 0)
})

fate('what was made for a Restore that has failed is cancelled, and nothing of it is left', async () => {
  const { world } = aVelero()
  aSnapshot(world, 'snap', 'data')
  assert.is(await untilDone(world, 'Snapshot'), 'Uploaded')
  world.sky.leave('store', OUTAGE_MS)
  aClone(world, 'clone', only(world, 'Snapshot'))
  const restore = seedOf(world, 'Restore', 'again', { backupName: 'nightly' })
  const labels = { 'velero.io/restore-uid': restore.metadata.uid }
  const annotations = { 'dormouse.dev/velero-restore': 'again' }
  await world.cluster.patch('CloneFromSnapshot', only(world, 'CloneFromSnapshot'), {
    metadata: { labels, annotations },
  })
  await world.run(() => world.cluster.peekAll('Download').some((each) => each['status']?.phase === 'Retry'))
  await world.cluster.patch('Restore', restore, { status: { phase: 'Failed' } })
  assert.is(await untilDone(world, 'CloneFromSnapshot'), 'Canceled', world.describe())
  assertTold(world, 'Restore again is Failed')
  await untilDone(world, 'Download')
  assertNothingLeft(world)
})

fate.run()
