// Processes whose clocks differ by up to a year, from each other and from the API server's: no object waits longer, ends earlier, or is removed
// early because of that.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { HOUR_MS } from '#shared/kernel/units.ts'
import { YEAR_MS } from './clocks.ts'
import { NEVER_BINDS } from './csi-driver.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { assertNothingLeft, isStaging } from './invariants.ts'
import { aBackup, aClone, isDone } from './objects.ts'
import { World } from './world.ts'

for (let seed = 1; seed <= 6; seed++) {
  test(`seed ${seed}: a backup and its restore end within an hour, and their records stay`, async () => {
    const world = new World(seed, { ...NO_FAULTS, skew: 1 })
    const beganMs = world.clock.nowMs()
    const backup = await aBackup(world)
    aClone(world, 'clone', backup)
    const clone = () => world.cluster.peek('CloneFromSnapshot', 'restored', 'clone')
    await world.run(() => world.isQuiet() && isDone(clone()))
    assert.ok(world.clock.nowMs() - beganMs < HOUR_MS)
    assert.is(clone()?.['status']?.phase, 'Completed')
    await world.run(() => world.clock.nowMs() - beganMs > 2 * HOUR_MS)
    assert.ok(world.cluster.peek('Snapshot', 'app', 'snap-1'), 'the record of the backup')
    assert.ok(clone(), 'the record of the restore')
    assertNothingLeft(world)
  })
}

test('a claim that nobody binds, made by a clock that was a year ahead and is set right since: its restore ends by name', async () => {
  const world = new World(1, NO_FAULTS)
  const backup = await aBackup(world)
  world.faults.clocks.setServer(YEAR_MS)
  aClone(world, 'clone', backup, { storageClass: NEVER_BINDS })
  while (!world.cluster.peekAll('PersistentVolumeClaim').some(isStaging)) await world.turn()
  world.faults.clocks.setServer(0)
  const clone = () => world.cluster.peek('CloneFromSnapshot', 'restored', 'clone')
  await world.run(() => isDone(clone()), HOUR_MS)
  assert.is(clone()?.['status']?.reason, 'ClaimNeverBound')
  assertNothingLeft(world)
})

test.run()
