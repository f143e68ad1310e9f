// A mover that died has left its disk protected from migration: however its upload ends, the upload function removes that protection.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { KiB } from '#shared/kernel/units.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { aSnapshot, aVolume } from './objects.ts'
import { World } from './world.ts'

type Held = { world: World; fcdId: string }

/** An upload in its first slice. */
async function aHeldDisk(seed: number): Promise<Held> {
  const world = new World(seed, NO_FAULTS)
  const fcdId = aVolume(world, 'data')
  world.volumes.write(fcdId, 0, noiseOf('data', 640 * KiB))
  aSnapshot(world, 'snap', 'data')
  while (Number(upload(world)?.['status']?.slice ?? 0) < 1) await world.turn()
  return { world, fcdId }
}

function upload(world: World) {
  return world.cluster.peekAll('Upload')[0]
}

async function cancel(world: World): Promise<void> {
  const { namespace, name } = upload(world)!.metadata
  await world.cluster.patch('Upload', { metadata: { namespace, name } } as never, { spec: { uploadCancel: true } })
}

/** A mover has died with the disk open, and nothing records it. The first attempts to release the disk fail; returns a count of attempts. */
function holdDisk(
  { world }: Held,
  error?: Error,
  times = error === undefined ? 0 : Number.POSITIVE_INFINITY,
): () => number {
  let attempts = 0
  const end = world.disks.endAccess.bind(world.disks)
  world.disks.endAccess = (fcdId) => {
    attempts++
    world.disks.held.add(fcdId)
    if (attempts <= times) throw error
    end(fcdId)
  }
  return () => attempts
}

async function phaseAtTheEnd({ world }: Held): Promise<string> {
  await world.run(() => world.isQuiet())
  assert.equal(world.broken, [])
  assert.equal(
    world.volumes.diskIds.flatMap((fcdId) => world.volumes.snapshotsOf(fcdId)),
    [],
    'its disk snapshot goes in any case',
  )
  return upload(world)?.['status']?.phase ?? ''
}

test('a cancelled upload releases it', async () => {
  const held = await aHeldDisk(1)
  const attempts = holdDisk(held)
  await cancel(held.world)
  assert.is(await phaseAtTheEnd(held), 'Canceled')
  assert.equal([attempts(), [...held.world.disks.held]], [2, []], 'before the disk snapshot goes, and after it')
})

test('the disk is released also when a mover opens it again after a release', async () => {
  const held = await aHeldDisk(5)
  holdDisk(held)
  const { world, fcdId } = held
  const remove = world.volumes.startDeleteSnapshot.bind(world.volumes)
  world.volumes.startDeleteSnapshot = async (...args) => {
    world.disks.held.add(fcdId)
    return await remove(...args)
  }
  await cancel(world)
  assert.is(await phaseAtTheEnd(held), 'Canceled')
  assert.equal([...world.disks.held], [])
})

test('a release that fails for a time is tried again', async () => {
  const held = await aHeldDisk(2)
  const attempts = holdDisk(held, new RetryableError('VddkHostUnavailable', 'away'), 2)
  await cancel(held.world)
  assert.is(await phaseAtTheEnd(held), 'Canceled')
  assert.equal([attempts(), [...held.world.disks.held]], [4, []])
})

test('a disk that cannot be released is left to the next backup, and the upload ends', async () => {
  const held = await aHeldDisk(3)
  const attempts = holdDisk(held, new TerminalError('VddkInvalidArgument', 'not yours'))
  await cancel(held.world)
  assert.is(await phaseAtTheEnd(held), 'Canceled')
  assert.equal([attempts(), [...held.world.disks.held]], [2, [held.fcdId]])
})

test('an upload does not wait for ever for the release of its disk', async () => {
  const held = await aHeldDisk(4)
  const attempts = holdDisk(held, new RetryableError('VddkHostUnavailable', 'away'))
  await cancel(held.world)
  assert.is(await phaseAtTheEnd(held), 'Canceled')
  assert.is(attempts(), 12, 'the first one, upload-cr-retry-max more, and once when the disk snapshot is gone')
})

test.run()
