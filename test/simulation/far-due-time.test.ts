// A due time later than any that Dormouse sets, written by a clock that was ahead, or by hand. No object waits until then.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { stepPatch } from '#shared/domain/step-label.ts'
import { HOUR_MS, KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { assertNothingLeft } from './invariants.ts'
import { aBackup, aClone, aSnapshot, aVolume, isDone } from './objects.ts'
import { World } from './world.ts'

const YEAR_9999_MS = Date.parse('9999-01-01T00:00:00Z')

/** A status as after a failure, with a due time by a clock in the year 9999. */
async function park(world: World, kind: 'Upload' | 'Download', phase: string): Promise<void> {
  const object = () => world.cluster.peekAll(kind)[0]
  while (object() === undefined) await world.turn()
  const seen = object() as LooseObject
  const nextRetryTimestamp = new Date(YEAR_9999_MS).toISOString()
  await world.cluster.patch(kind, seen, {
    metadata: stepPatch('waiting', YEAR_9999_MS),
    status: { phase, nextRetryTimestamp },
  })
}

test('an upload', async () => {
  const world = new World(1, NO_FAULTS)
  world.volumes.write(aVolume(world, 'data'), 0, noiseOf('data', 64 * KiB))
  aSnapshot(world, 'snap', 'data')
  await park(world, 'Upload', 'UploadError')
  const snapshot = () => world.cluster.peek('Snapshot', 'app', 'snap')
  await world.run(() => world.isQuiet() && isDone(snapshot()), HOUR_MS)
  assert.is(snapshot()?.['status']?.phase, 'Uploaded')
  assertNothingLeft(world)
})

test('a download', async () => {
  const world = new World(2, NO_FAULTS)
  aClone(world, 'clone', await aBackup(world))
  await park(world, 'Download', 'Retry')
  const clone = () => world.cluster.peek('CloneFromSnapshot', 'restored', 'clone')
  await world.run(() => world.isQuiet() && isDone(clone()), HOUR_MS)
  assert.is(clone()?.['status']?.phase, 'Completed')
})

test.run()
