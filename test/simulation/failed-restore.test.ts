// A restore whose disk is never provisioned fails with its reason, stays failed, and leaves no claim, in any order of events.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { NEVER_BINDS } from './csi-driver.ts'
import { assertNothingLeft } from './invariants.ts'
import { aBackup, aClone, isDone } from './objects.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env['SEEDS'] ?? 20)

async function runThrough(world: World): Promise<void> {
  const snapshot = await aBackup(world)
  world.faults.plan.latencyTurns = 8
  aClone(world, 'clone-1', snapshot, { storageClass: NEVER_BINDS })
  const clone = () => world.cluster.peek('CloneFromSnapshot', 'restored', 'clone-1')
  await world.run(() => isDone(clone()))
  await world.run(() => world.heldLeases.length === 0)
  assert.is(clone()?.['status']?.phase, 'Failed', world.describe())
  assert.is(clone()?.['status']?.reason, 'ClaimNeverBound')
  const claims = world.cluster.peekAll('PersistentVolumeClaim').map(({ metadata }) => metadata.name)
  assert.equal(claims, ['data'], 'no claim of the restore is left')
  assert.equal(world.broken, [])
  assert.equal(world.errors, [])
  assertNothingLeft(world)
}

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`seed ${seed}: a restore that failed is never begun again`, async () => {
    await runThrough(new World(seed, { drop: 0.2, double: 0.5, die: 0.02 }))
  })
}

test.run()
