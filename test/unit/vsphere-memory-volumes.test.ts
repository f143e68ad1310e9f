// What the in-memory volumes do beyond the contract: data, snapshots that share it, and planned failures.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { KiB, MiB } from '#shared/kernel/units.ts'
import type { Disk } from '#shared/ports/disk.ts'
import { MemoryVolumes } from '#shared/providers/memory/volumes.ts'

const test = suite('volumes in memory')
const bytes = (value: number, lengthBytes = 4 * KiB) => new Uint8Array(lengthBytes).fill(value)

function readAll(disk: Disk, offsetBytes = 0, lengthBytes = 4 * KiB): Uint8Array {
  const into = new Uint8Array(lengthBytes)
  disk.read(offsetBytes, into)
  disk.close()
  return into
}

async function snapshotOf(volumes: MemoryVolumes, fcdId: string, description = 'd'): Promise<string> {
  await volumes.startSnapshot(fcdId, description)
  return volumes.snapshotsOf(fcdId).at(-1)?.snapshotId ?? ''
}

test('a snapshot keeps what the disk held when it was asked for', async () => {
  const volumes = new MemoryVolumes({ clock: systemClock, callsPerTask: 1 })
  const fcdId = volumes.createDisk(MiB)
  volumes.write(fcdId, 0, bytes(1))
  await volumes.startSnapshot(fcdId, 'd')
  volumes.write(fcdId, 0, bytes(2, 512))
  volumes.write(fcdId, 512 * KiB, bytes(3))
  volumes.finishTasks()
  const snapshotId = volumes.snapshotsOf(fcdId)[0]?.snapshotId
  assert.equal(readAll(volumes.openDisk(fcdId, snapshotId)), bytes(1))
  assert.equal(readAll(volumes.openDisk(fcdId, snapshotId), 512 * KiB), bytes(0))
  assert.equal(readAll(volumes.openDisk(fcdId), 0, 512), bytes(2, 512))
  assert.equal(volumes.openDisk(fcdId, snapshotId).allocated(0, MiB), [{ offsetBytes: 0, lengthBytes: 64 * KiB }])
})

test('a snapshot that somebody reads cannot be deleted', async () => {
  const volumes = new MemoryVolumes({ clock: systemClock })
  const fcdId = volumes.createDisk(MiB)
  const snapshotId = await snapshotOf(volumes, fcdId)
  const reader = volumes.openDisk(fcdId, snapshotId)
  const other = volumes.openDisk(fcdId, snapshotId)
  other.close()
  other.close()
  const refused = await volumes.startDeleteSnapshot(fcdId, snapshotId)
  const error = await volumes.pollTask(refused!).catch((thrown: unknown) => thrown)
  assert.is((error as RetryableError).reason, 'TaskFailed')
  reader.close()
  await volumes.startDeleteSnapshot(fcdId, snapshotId)
  assert.equal(volumes.snapshotsOf(fcdId), [])
})

test('a disk that is open for reading cannot be written', async () => {
  const volumes = new MemoryVolumes({ clock: systemClock })
  const fcdId = volumes.createDisk(MiB)
  const snapshotId = await snapshotOf(volumes, fcdId)
  assert.throws(() => volumes.openDisk(fcdId).write(0, bytes(1)), /reading only/)
  assert.throws(() => volumes.openDisk(fcdId, snapshotId, true), /only be opened for reading/)
})

test('a fault before a call prevents it, a fault after it does not undo it', async () => {
  const volumes = new MemoryVolumes({ clock: systemClock })
  const fcdId = volumes.createDisk(MiB)
  const seen: string[] = []
  let failing: 'before' | 'after' | undefined
  volumes.onCall = ({ method }, moment) => {
    seen.push(`${method} ${moment}`)
    if (moment === failing) throw new RetryableError('VCenterUnreachable', 'on purpose')
  }
  failing = 'before'
  assert.instance(await volumes.startSnapshot(fcdId, 'd').catch((thrown: unknown) => thrown), RetryableError)
  assert.is(volumes.snapshotsOf(fcdId).length, 0)
  failing = 'after'
  assert.instance(await volumes.startSnapshot(fcdId, 'd').catch((thrown: unknown) => thrown), RetryableError)
  assert.is(volumes.snapshotsOf(fcdId).length, 1)
  assert.equal(seen, ['startSnapshot before', 'startSnapshot before', 'startSnapshot after'])
})

test('ids are the same in every run', () => {
  const ids = [1, 2].map(() => new MemoryVolumes({ clock: systemClock }).createDisk(MiB))
  assert.is(ids[0], ids[1])
})

test.run()
