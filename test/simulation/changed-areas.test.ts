// An upload asks vCenter for the changed areas once per backup, not once per slice. With a large disk, one answer takes hundreds of queries
// with thousands of areas each, and a day of uploading has 288 slices.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { STEP_LABEL } from '#shared/domain/step-label.ts'
import { KiB } from '#shared/kernel/units.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { aSnapshot, aVolume } from './objects.ts'
import { World } from './world.ts'

type Scene = { world: World; fcdId: string; asked: () => number }

/** A disk with one backup that has changed everywhere since and is being backed up again. */
async function aSecondBackup(seed: number): Promise<Scene> {
  const world = new World(seed, NO_FAULTS)
  const fcdId = aVolume(world, 'data')
  world.volumes.write(fcdId, 0, noiseOf('data', 640 * KiB))
  aSnapshot(world, 'first', 'data')
  await world.run(() => world.isQuiet())
  world.volumes.write(fcdId, 0, noiseOf('more', 640 * KiB))
  let asked = 0
  const ask = world.volumes.changedAreas.bind(world.volumes)
  world.volumes.changedAreas = async (...args) => {
    asked++
    return await ask(...args)
  }
  aSnapshot(world, 'second', 'data')
  return { world, fcdId, asked: () => asked }
}

function second(world: World) {
  return world.cluster.peekAll('Upload').find((upload) => upload['spec'].snapshotReference === 'app/second')
}

function slicesOf(world: World): number {
  return Number(second(world)?.['status']?.slice ?? 0)
}

async function endsWhole({ world }: Scene): Promise<void> {
  await world.run(() => world.isQuiet())
  assert.equal(world.broken.splice(0), [])
  assert.equal([second(world)?.['status']?.phase, second(world)?.['status']?.mode], ['Completed', 'Changed'])
}

test('a backup of many slices asks vCenter once', async () => {
  const scene = await aSecondBackup(1)
  await endsWhole(scene)
  assert.ok(slicesOf(scene.world) >= 5, `${slicesOf(scene.world)} slices`)
  assert.is(scene.asked(), 1)
})

test('after a slice that died before it saved its plan, the next one asks again, and no later one does', async () => {
  const scene = await aSecondBackup(2)
  const { disks } = scene.world
  const open = disks.open.bind(disks)
  let deaths = 0
  disks.open = (pod, ...rest) => {
    if (++deaths === 1) pod.die()
    return open(pod, ...rest)
  }
  await endsWhole(scene)
  assert.ok(deaths > 1 && slicesOf(scene.world) >= 5, `${slicesOf(scene.world)} slices`)
  assert.is(scene.asked(), 2)
})

test('a store that has lost the checkpoints costs one more query', async () => {
  const scene = await aSecondBackup(3)
  const { world } = scene
  const isBetween = () => second(world)?.metadata.labels?.[STEP_LABEL] === 'upload'
  while (slicesOf(world) < 3 || !isBetween()) await world.turn()
  assert.ok(world.bucket.checkpoints.length > 0)
  for (const key of world.bucket.checkpoints) world.bucket.objects.delete(key)
  await world.run(() => slicesOf(world) > 3)
  // What the store has lost is no progress any more: the progress check reports that, and nothing else.
  assert.is(world.broken.length, 1)
  assert.match(world.broken.splice(0).join(), /went back: slices 3 at \d+, 4 at 0$/)
  await endsWhole(scene)
  assert.is(scene.asked(), 2)
})

test.run()
