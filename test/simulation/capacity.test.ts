// The size of a disk snapshot differs from what vCenter says, because the disk was extended since, or is not in whole MiB.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '#shared/kernel/units.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { aSnapshot, aVolume, isDone } from './objects.ts'
import { World } from './world.ts'

const capacity = suite('the size of a disk')

/** From now on vCenter reports so many bytes more, or fewer if negative. */
function tell(world: World, moreBytes: () => number): void {
  const describe = world.volumes.describe.bind(world.volumes)
  world.volumes.describe = async (fcdId) => {
    const facts = await describe(fcdId)
    return facts && { ...facts, capacityBytes: facts.capacityBytes + moreBytes() }
  }
}

async function backUp(world: World, name: string): Promise<void> {
  aSnapshot(world, name, 'data')
  const snapshot = () => world.cluster.peek('Snapshot', 'app', name)
  await world.run(() => isDone(snapshot()) && world.isQuiet())
  assert.is(snapshot()?.['status']?.phase, 'Uploaded', world.describe())
  assert.equal(world.broken, [])
}

function aWorld(): World {
  const world = new World(1, NO_FAULTS)
  const fcdId = aVolume(world, 'data')
  world.volumes.write(fcdId, 0, noiseOf('data', 640 * KiB))
  return world
}

capacity(
  'a disk whose size vCenter reports too small or too large is backed up whole, and again from its changes',
  async () => {
    for (const bytes of [-512, -64 * KiB, 512, 1024 * KiB]) {
      const world = aWorld()
      tell(world, () => bytes)
      await backUp(world, 'first')
      await backUp(world, 'second')
      const sizes = [...world.bucket.backups.values()].map(({ source }) => source['capacityBytes'])
      assert.equal(sizes, [640 * KiB, 640 * KiB], `${bytes} bytes more`)
    }
  },
)

capacity('a disk that is extended between two slices costs no attempt', async () => {
  const world = aWorld()
  let more = 0
  const reasons = new Set<string>()
  tell(world, () => more)
  world.cluster.onWrite((kind, _before, after) => {
    if (kind !== 'Upload' || after === undefined) return
    reasons.add(after['status']?.reason)
    if (Number(after['status']?.slice ?? 0) >= 2) more = 1024 * KiB
  })
  await backUp(world, 'first')
  const [upload] = world.cluster.peekAll('Upload')
  assert.ok(Number(upload?.['status']?.slice) >= 2)
  assert.is(reasons.has('CapacityMismatch'), false)
})

capacity.run()
