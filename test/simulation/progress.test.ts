// The progress check reports a transfer that makes none: it names the transfer, its slices and their positions.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '#shared/kernel/units.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { aSnapshot, aVolume } from './objects.ts'
import { World } from './world.ts'

/** Runs until the check reports something. */
async function brokenIn(spoil: (world: World) => void): Promise<string> {
  const world = new World(1, NO_FAULTS)
  world.volumes.write(aVolume(world, 'data'), 0, noiseOf('data', 640 * KiB))
  aSnapshot(world, 'snap', 'data')
  spoil(world)
  while (world.broken.length === 0) await world.turn()
  return world.broken[0] ?? ''
}

test('durable data that is lost is reported', async () => {
  const broken = await brokenIn(({ cluster, bucket }) => {
    cluster.onWrite((kind, _before, after) => {
      const isBetween = kind === 'Upload' && after?.metadata.labels?.['dormouse.dev/step'] === 'upload'
      if (!isBetween || after['status'].slice !== 2) return
      for (const key of bucket.keyList) if (key.startsWith('checkpoint/')) bucket.objects.delete(key)
    })
  })
  assert.match(broken, /^Upload upload-\S+ \S+ \S+ went back: slices 2 at [1-9]\d+, 3 at 0$/)
})

test('slices without progress and without a fault are reported', async () => {
  const broken = await brokenIn(({ bucket: { objects } }) => {
    const set = objects.set.bind(objects)
    objects.set = (key, object) => (key.startsWith('checkpoint/') ? objects : set(key, object))
  })
  assert.match(broken, /^Upload \S+ \S+ \S* ?gets nowhere though nothing goes wrong: slices \d at 0, \d at 0, \d at 0$/)
})

test.run()
