// A disk has at most one writer, a user's disk has none, and no disk snapshot outlives the work. This holds even when events arrive again
// while other processes work, in any order, and when processes die or are paused.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import type { FaultPlan } from './fault-plan.ts'
import { assertNothingLeft } from './invariants.ts'
import { aClone, aSnapshot, aVolume, isDone } from './objects.ts'
import { World } from './world.ts'

const PLANS: [string, FaultPlan][] = [
  ['events come again and again', { drop: 0, double: 1, die: 0, latencyTurns: 4 }],
  ['and processes die or stand still', { drop: 0.2, double: 0.8, die: 0.02, latencyTurns: 4, trouble: 0.02, most: 6 }],
]

/** Calls another pod for each write of a transfer's status, as a broker may that has not received the first pod's answer. */
function callAgain(world: World, kind: 'Upload' | 'Download'): void {
  world.cluster.onWrite((written, _before, after) => {
    if (written === kind && after?.['status']?.phase === 'InProgress') world.again({ kind, ...placeOf(after) })
  })
}

const kindOf = (seed: number) => (seed % 2 === 0 ? 'Upload' : 'Download')

const placeOf = ({ metadata: { namespace, name } }: LooseObject) => ({ namespace, name })

/** Runs until `done`, and stops at the first violation of an invariant. */
async function run(world: World, done: () => boolean): Promise<void> {
  while (world.broken.length === 0 && !done()) await world.turn()
  assert.equal(world.broken, [])
}

for (const [what, plan] of PLANS)
  for (let seed = 1; seed <= 6; seed++)
    test(`${kindOf(seed)}, seed ${seed}, ${what}: no disk has two writers, and no disk snapshot is left`, async () => {
      const world = new World(seed, plan)
      const fcdId = aVolume(world, 'data')
      world.volumes.write(fcdId, 64 * KiB, noiseOf('data', 64 * KiB))
      callAgain(world, kindOf(seed))
      aSnapshot(world, 'snap-1', 'data')
      const snapshot = () => world.cluster.peek('Snapshot', 'app', 'snap-1')
      await run(world, () => isDone(snapshot()))
      const clone = aClone(world, 'clone', snapshot() as LooseObject)
      const now = () => world.cluster.peek('CloneFromSnapshot', 'restored', clone.metadata.name)
      await run(world, () => isDone(now()) && world.isQuiet() && world.claimLeases.length === 0)
      await world.drain()
      assert.is(now()?.['status']?.phase, 'Completed', world.describe())
      assert.ok(world.disks.opened.snapshots > 0 && world.disks.opened.writable > 0, 'disks were opened')
      assertNothingLeft(world)
    })

test.run()
