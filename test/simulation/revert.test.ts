// A disk that somebody reverted without Dormouse's knowledge: change tracking gives the same epochs again, and may leave changes out.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { NO_OLDER_SNAPSHOT_ANNOTATION } from '#shared/domain/revertible.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { aSnapshot, aVolume, isDone, SIZE_BYTES } from './objects.ts'
import { World } from './world.ts'

const revert = suite('a reverted disk')

let made = 0

async function backUp(world: World): Promise<string> {
  const name = `snap-${++made}`
  aSnapshot(world, name, 'data')
  const snapshot = () => world.cluster.peek('Snapshot', 'app', name) as LooseObject
  await world.run(() => isDone(snapshot()) && world.isQuiet())
  assert.is(snapshot()['status'].phase, 'Uploaded', world.describe())
  assert.equal(world.broken, [], 'the backup restores to what the disk snapshot held')
  const upload = world.cluster.peek('Upload', 'velero', snapshot()['status'].uploadName)
  return upload?.['status']?.mode ?? ''
}

const write = (world: World, fcdId: string, at: number) =>
  world.volumes.write(fcdId, at * 64 * KiB, noiseOf(`write ${++made}`, 64 * KiB))

/** Lets epochs pass; afterwards nothing shows that the disk was reverted. */
function passEpochs(world: World, fcdId: string, count: number): void {
  for (let n = 0; n < count; n++)
    world.volumes.removeSnapshotNow(fcdId, world.volumes.takeSnapshotNow(fcdId, 'of another tool'))
}

revert('what changed is not missed when its epoch has passed that of the last backup', async () => {
  for (const passed of [0, 1, 2, 3, 5]) {
    for (const stays of [true, false]) {
      const world = new World(1, NO_FAULTS)
      const fcdId = aVolume(world, 'data')
      write(world, fcdId, 0)
      const before = world.volumes.takeSnapshotNow(fcdId, 'before the upgrade')
      write(world, fcdId, 1)
      await backUp(world)
      world.volumes.revertTo(fcdId, before)
      write(world, fcdId, 2)
      if (!stays) world.volumes.removeSnapshotNow(fcdId, before)
      passEpochs(world, fcdId, passed)
      write(world, fcdId, 3)
      await backUp(world)
      write(world, fcdId, 4)
      await backUp(world)
    }
  }
})

revert(
  'with no older disk snapshot only changes are read; while one exists, the changes since a backup that is older than it',
  async () => {
    const world = new World(2, NO_FAULTS)
    const fcdId = aVolume(world, 'data')
    write(world, fcdId, 0)
    assert.is(await backUp(world), 'Allocated')
    write(world, fcdId, 1)
    assert.is(await backUp(world), 'Changed')
    const kept = world.volumes.takeSnapshotNow(fcdId, 'kept for long')
    for (const at of [2, 3]) {
      write(world, fcdId, at)
      assert.is(await backUp(world), 'Changed')
    }
    world.volumes.revertTo(fcdId, kept)
    passEpochs(world, fcdId, 9)
    write(world, fcdId, 4)
    assert.is(await backUp(world), 'Changed')
    world.volumes.removeSnapshotNow(fcdId, kept)
    write(world, fcdId, 5)
    assert.is(await backUp(world), 'Changed')
  },
)

type Scene = { world: World; fcdId: string; seen: Seen }
type Seen = { older?: string; isOver: boolean }

/** During the first backup, once at most: reverts the disk to an older disk snapshot, and removes that one. */
function leaveNoTrace({ world, fcdId, seen }: Scene): void {
  if (seen.older === undefined || seen.isOver) return
  seen.isOver = true
  world.volumes.revertTo(fcdId, seen.older)
  world.volumes.removeSnapshotNow(fcdId, seen.older)
}

const takeOlder = ({ world, fcdId, seen }: Scene) => {
  seen.older ??= world.volumes.takeSnapshotNow(fcdId, 'before the upgrade')
}

const atWrite = (scene: Scene, kind: string, isMoment: (before?: LooseObject, after?: LooseObject) => boolean) =>
  scene.world.cluster.onWrite((written, before, after) => {
    if (written === kind && isMoment(before, after)) leaveNoTrace(scene)
  })

const atStart = (scene: Scene, moment: 'before' | 'after', act: () => void) => {
  scene.world.volumes.onCall = (call, when) => {
    if (call.method === 'startSnapshot' && when === moment) act()
  }
}

const whenUploadIsMade = (scene: Scene) =>
  atWrite(scene, 'Upload', (before, after) => before === undefined && after !== undefined)

const beforeTheLastSlice = (scene: Scene) =>
  atWrite(scene, 'Upload', (_before, after) => Number(after?.['status']?.slice ?? 0) >= 3)

const MOMENTS: Record<string, (scene: Scene) => void> = {
  'while the disk snapshot is being taken': (scene) => {
    takeOlder(scene)
    atStart(scene, 'after', () => leaveNoTrace(scene))
  },
  'when whoever took the disk snapshot has died': (scene) => {
    takeOlder(scene)
    atStart(scene, 'after', () => {
      if (scene.seen.isOver) return
      leaveNoTrace(scene)
      throw new RetryableError('VcenterUnavailable', 'the answer was lost')
    })
  },
  'while taking it outlasts one request': (scene) => {
    takeOlder(scene)
    atStart(scene, 'before', () => {
      scene.world.volumes.callsPerTask = scene.seen.isOver ? 0 : 40
    })
    atWrite(scene, 'Snapshot', (_before, after) => after?.['status']?.task !== undefined)
  },
  'before there is an Upload': (scene) => {
    takeOlder(scene)
    atWrite(scene, 'Snapshot', (_before, after) => after?.['status']?.phase === 'Snapshotted')
  },
  'before the first slice': (scene) => {
    takeOlder(scene)
    whenUploadIsMade(scene)
  },
  'before the last slice': (scene) => {
    takeOlder(scene)
    beforeTheLastSlice(scene)
  },
  'before the first slice, to one that came between the look and the disk snapshot': (scene) => {
    atStart(scene, 'before', () => takeOlder(scene))
    whenUploadIsMade(scene)
  },
  'before the last slice, to one that vCenter listed late': (scene) => {
    takeOlder(scene)
    const { volumes, cluster } = scene.world
    const list = volumes.listSnapshots.bind(volumes)
    volumes.listSnapshots = async (fcdId) => {
      const isListed = cluster.peekAll('Upload').length > 0
      return (await list(fcdId)).filter(({ snapshotId }) => isListed || snapshotId !== scene.seen.older)
    }
    beforeTheLastSlice(scene)
  },
}

for (const [moment, arrange] of Object.entries(MOMENTS)) {
  revert(`a revert, and the removal of what it went back to, are not missed: ${moment}`, async () => {
    for (const passed of [0, 1, 3]) {
      const world = new World(3, NO_FAULTS)
      const fcdId = aVolume(world, 'data')
      world.volumes.write(fcdId, 0, noiseOf(`all ${++made}`, SIZE_BYTES))
      const scene: Scene = { world, fcdId, seen: { isOver: false } }
      arrange(scene)
      write(world, fcdId, 1)
      assert.is(await backUp(world), 'Allocated')
      assert.ok(scene.seen.isOver, 'it was reverted')
      const [upload] = world.cluster.peekAll('Upload')
      assert.ok(Number(upload?.['status']?.slice) >= 4, `${upload?.['status']?.slice} slices`)
      passEpochs(world, fcdId, passed)
      write(world, fcdId, 3)
      assert.is(await backUp(world), 'Allocated', 'what the first one can tell is not asked for')
      write(world, fcdId, 4)
      assert.is(await backUp(world), 'Changed', 'nothing stood beside the second one')
    }
  })
}

revert(
  'the absence of older disk snapshots is not taken from a Snapshot, and not assumed for an Upload without the record',
  async () => {
    const world = new World(4, NO_FAULTS)
    const { cluster } = world
    const create = cluster.create.bind(cluster)
    const told: unknown[] = []
    cluster.create = async (kind, object) => {
      const { [NO_OLDER_SNAPSHOT_ANNOTATION]: id, ...annotations } = object.metadata.annotations ?? {}
      if (kind !== 'Upload' || told.length > 0) return await create(kind, object)
      told.push(id)
      const snapshot = cluster.peekAll('Snapshot')[0] as LooseObject
      await cluster.patch('Snapshot', snapshot, { metadata: { annotations: { [NO_OLDER_SNAPSHOT_ANNOTATION]: id } } })
      return await create(kind, { ...object, metadata: { ...object.metadata, annotations } })
    }
    const fcdId = aVolume(world, 'data')
    for (const mode of ['Allocated', 'Allocated', 'Changed']) {
      write(world, fcdId, made % 10)
      assert.is(await backUp(world), mode)
    }
    assert.type(told[0], 'string')
  },
)

revert.run()
