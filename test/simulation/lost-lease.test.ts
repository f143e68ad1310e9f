// A holder that loses its work lease while it works: its mover dies at once, and what it began too late is undone.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { HOLDER_ANNOTATION, heldLeaseSpec, RELEASED_LEASE_SPEC } from '#shared/domain/lease.ts'
import { KiB, SECOND_MS } from '#shared/kernel/units.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { assertNothingLeft } from './invariants.ts'
import { aSnapshot, aVolume, isDone } from './objects.ts'
import { World } from './world.ts'

/** A holder checks its Lease every five seconds. */
const KNOWN_WITHIN_MS = 5 * SECOND_MS
const LEASE_MS = 30 * SECOND_MS

function aWorld(seed: number): { world: World; fcdId: string } {
  const world = new World(seed, NO_FAULTS)
  const fcdId = aVolume(world, 'data')
  world.volumes.write(fcdId, 0, noiseOf('data', 640 * KiB))
  aSnapshot(world, 'snap', 'data')
  return { world, fcdId }
}

async function patchLease(world: World, prefix: string, spec: object): Promise<void> {
  const lease = world.cluster.peekAll('Lease').find((each) => each.metadata.name.startsWith(prefix))
  assert.ok(lease?.['spec']?.holderIdentity, `${prefix} is held`)
  await world.cluster.patch('Lease', lease!, { spec })
}

test('a disk snapshot that was begun when the Snapshot was over already is taken back', async () => {
  const { world, fcdId } = aWorld(1)
  const start = world.volumes.startSnapshot.bind(world.volumes)
  const begunIn: string[] = []
  world.volumes.startSnapshot = async (...args) => {
    const { phase } = await overElsewhere(world)
    begunIn.push(phase ?? '')
    return await start(...args)
  }
  await world.run(() => begunIn.length > 0 && world.isQuiet())
  assert.equal(begunIn, ['Canceled'])
  assert.equal(world.volumes.snapshotsOf(fcdId), [])
  assertNothingLeft(world)
})

/** Another pod takes the Lease, sees a cancel, and ends the Snapshot, while the first pod is inside a call of vCenter. */
async function overElsewhere(world: World): Promise<{ phase?: string }> {
  const read = () => world.cluster.peek('Snapshot', 'app', 'snap')!
  await patchLease(world, 'snapshot-lease.', RELEASED_LEASE_SPEC)
  await world.cluster.patch('Snapshot', read(), { metadata: { annotations: { [HOLDER_ANNOTATION]: 'next' } } })
  await world.cluster.patch('Snapshot', read(), { spec: { snapshotCancel: true } })
  while (!isDone(read())) await world.clock.sleep(SECOND_MS)
  return read()['status'] ?? {}
}

test('a mover whose holder has lost the Lease stores nothing more', async () => {
  const { world } = aWorld(2)
  let lostMs = Number.POSITIVE_INFINITY
  const open = world.disks.open.bind(world.disks)
  world.disks.open = (...args) => {
    if (lostMs === Number.POSITIVE_INFINITY) {
      lostMs = world.clock.nowMs()
      void patchLease(world, 'upload-lease.', heldLeaseSpec('next', LEASE_MS, lostMs))
    }
    return open(...args)
  }
  const stored: number[] = []
  const { objects } = world.bucket
  const set = objects.set.bind(objects)
  objects.set = (key, object) => {
    if (/^(packs|checkpoint|roots)\//.test(key)) stored.push(world.clock.nowMs())
    return set(key, object)
  }
  await world.run(() => world.isQuiet() && isDone(world.cluster.peek('Snapshot', 'app', 'snap')))
  const late = stored.filter((atMs) => atMs >= lostMs + KNOWN_WITHIN_MS && atMs < lostMs + LEASE_MS)
  assert.equal(late, [], 'stored after its holder knew of it')
  assert.is(world.cluster.peek('Snapshot', 'app', 'snap')?.['status']?.phase, 'Uploaded')
  assertNothingLeft(world)
})

test.run()
