// The contract of the port VolumeService (shared/ports/volumes.ts), for the in-memory one and for vSphere.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Clock, systemClock } from '#shared/kernel/clock.ts'
import { DormouseError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { GiB, KiB, MINUTE_MS, MiB } from '#shared/kernel/units.ts'
import type { TaskRef, VolumeService } from '#shared/ports/volumes.ts'

/** A place with volumes, and what only the CSI driver, the guest and an administrator do to them. */
type VolumesHarness = {
  service: VolumeService
  createDisk(capacityBytes: number, cbt: boolean): Promise<string>
  deleteDisk(fcdId: string): Promise<void>
  write(fcdId: string, offsetBytes: number, bytes: Uint8Array): Promise<void>
  setTracking(fcdId: string, on: boolean): Promise<void>
  /** From now on, tasks that are started take some time, or end at once again. */
  slowTasks(on: boolean): Promise<void>
  close(): Promise<void>
}

const ABSENT = '91ff4aef-72f6-41e6-97fb-4bced53762ca'
/** The block size of both change trackers. */
const GRAIN = 64 * KiB

/** Defines the suite; the caller runs it, because test/run.ts wants to see that a file runs its suite. */
export function volumesSuite(name: string, start: () => Promise<VolumesHarness>) {
  const test = suite(name)
  let harness: VolumesHarness
  let service: VolumeService
  test.before(async () => {
    harness = await start()
    service = harness.service
  })
  test.after(() => harness.close())

  const takeSnapshot = (fcdId: string, description = 'dormouse/c1/some-uid') => takenBy(service, fcdId, description)
  const removeSnapshot = async (fcdId: string, snapshotId: string) => {
    const task = await service.startDeleteSnapshot(fcdId, snapshotId)
    if (task !== undefined) await finished(service, task)
  }

  test('a volume that nobody knows is undefined', async () => {
    assert.is(await service.describe(ABSENT), undefined)
  })

  test('a volume is described with its size, datastore and vCenter', async () => {
    const fcdId = await harness.createDisk(3 * MiB, true)
    const facts = await service.describe(fcdId)
    assert.is(facts?.fcdId, fcdId)
    assert.is(facts?.capacityBytes, 3 * MiB)
    assert.is(facts?.changedBlockTracking, true)
    assert.match(facts?.datastoreMoref ?? '', /^datastore-\d+$/)
    assert.ok(facts?.vcenter)
    assert.ok(facts?.name)
    const plain = await harness.createDisk(1 * MiB, false)
    assert.is((await service.describe(plain))?.changedBlockTracking, false)
  })

  test('a text that is no id is refused before any request', async () => {
    const bad = ['', 'file:91ff4aef', `${ABSENT}</id><id>`, '../etc', 'a'.repeat(65), `${ABSENT}\n`]
    for (const id of bad) {
      await rejects(service.describe(id), TerminalError, 'VSphereIdInvalid')
      await rejects(service.startSnapshot(id, 'd'), TerminalError, 'VSphereIdInvalid')
      await rejects(service.startDeleteSnapshot(ABSENT, id), TerminalError, 'VSphereIdInvalid')
      await rejects(service.changedAreas(ABSENT, id, 'c', MiB), TerminalError, 'VSphereIdInvalid')
    }
  })

  test('a snapshot is listed with the description that it was given', async () => {
    const fcdId = await harness.createDisk(1 * MiB, false)
    assert.equal(await service.listSnapshots(fcdId), [])
    const description = 'dormouse/cluster <&>/5e0f "1"'
    const first = await takeSnapshot(fcdId, description)
    const second = await takeSnapshot(fcdId, 'somebody else')
    const listed = await service.listSnapshots(fcdId)
    assert.equal(
      listed.map(({ snapshotId, description: found }) => [snapshotId, found]),
      [
        [first, description],
        [second, 'somebody else'],
      ],
    )
    assert.ok(Math.abs((listed[0]?.createdMs ?? 0) - Date.now()) < MINUTE_MS)
  })

  test('a snapshot whose task was forgotten is found by its description', async () => {
    const fcdId = await harness.createDisk(1 * MiB, false)
    await harness.slowTasks(true)
    await service.startSnapshot(fcdId, 'dormouse/c1/crashed')
    assert.equal(await service.listSnapshots(fcdId), [], 'it is still being made')
    await harness.slowTasks(false)
    const found = await eventually(async () => {
      const all = await service.listSnapshots(fcdId)
      return all.find((snapshot) => snapshot.description === 'dormouse/c1/crashed')
    })
    assert.ok(found.snapshotId)
  })

  test('a task runs, then it is done, and it stays done', async () => {
    const fcdId = await harness.createDisk(1 * MiB, false)
    await harness.slowTasks(true)
    const task = await service.startSnapshot(fcdId, 'slow')
    assert.is((await service.pollTask(task)).state, 'running')
    await harness.slowTasks(false)
    const result = await finished(service, task)
    assert.is((await service.listSnapshots(fcdId))[0]?.snapshotId, result)
    assert.equal(await service.pollTask(task), { state: 'done', result })
  })

  test('a task that nobody knows has to be started again', async () => {
    const fcdId = await harness.createDisk(1 * MiB, false)
    const { vcenter } = await service.startSnapshot(fcdId, 'to learn the name of the vCenter')
    await rejects(service.pollTask({ vcenter, task: 'task-999999' }), RetryableError, 'TaskNotFound')
    await rejects(service.pollTask({ vcenter: 'elsewhere', task: 'task-1' }), RetryableError, 'TaskNotFound')
    await rejects(service.pollTask({ vcenter, task: 'task-1<' }), TerminalError, 'VSphereIdInvalid')
  })

  test('deleting a snapshot twice is a success', async () => {
    const fcdId = await harness.createDisk(1 * MiB, false)
    const doomed = await takeSnapshot(fcdId)
    const kept = await takeSnapshot(fcdId)
    await removeSnapshot(fcdId, doomed)
    assert.equal(
      (await service.listSnapshots(fcdId)).map(({ snapshotId }) => snapshotId),
      [kept],
    )
    assert.is(await service.startDeleteSnapshot(fcdId, doomed), undefined)
  })

  test('a volume that is gone has lost its snapshots, and cannot get new ones', async () => {
    const fcdId = await harness.createDisk(1 * MiB, true)
    const snapshotId = await takeSnapshot(fcdId)
    const changeId = (await service.changeId(fcdId, snapshotId)) ?? ''
    await harness.deleteDisk(fcdId)
    assert.is(await service.describe(fcdId), undefined)
    assert.is(await service.startDeleteSnapshot(fcdId, snapshotId), undefined)
    const gone = (act: Promise<unknown>) => rejects(act, TerminalError, 'VolumeNotFound')
    await gone(service.startSnapshot(fcdId, 'too late'))
    await gone(service.listSnapshots(fcdId))
    await gone(service.changeId(fcdId, snapshotId))
    await gone(service.changedAreas(fcdId, snapshotId, changeId, MiB))
    await gone(service.diskAccess(fcdId))
  })

  test('a snapshot that does not exist has no change id', async () => {
    const fcdId = await harness.createDisk(1 * MiB, true)
    await rejects(service.changeId(fcdId, ABSENT), TerminalError, 'SnapshotNotFound')
    const changeId = (await service.changeId(fcdId, await takeSnapshot(fcdId))) ?? ''
    await rejects(service.changedAreas(fcdId, ABSENT, changeId, MiB), TerminalError, 'SnapshotNotFound')
  })

  test('without change tracking there is no change id, and changes are unknown', async () => {
    const fcdId = await harness.createDisk(1 * MiB, false)
    const snapshotId = await takeSnapshot(fcdId)
    assert.is(await service.changeId(fcdId, snapshotId), undefined)
    const other = await harness.createDisk(1 * MiB, true)
    const changeId = (await service.changeId(other, await takeSnapshot(other))) ?? ''
    await rejects(service.changedAreas(fcdId, snapshotId, changeId, MiB), TerminalError, 'ChangeTrackingLost')
  })

  test('the areas that changed between two snapshots are listed, ascending and joined', async () => {
    const capacityBytes = 2 * GiB
    const fcdId = await harness.createDisk(capacityBytes, true)
    await harness.write(fcdId, 5 * MiB, filled(GRAIN))
    const first = await takeSnapshot(fcdId)
    const changeId = (await service.changeId(fcdId, first)) ?? ''
    await harness.write(fcdId, capacityBytes - GRAIN, filled(GRAIN))
    await harness.write(fcdId, 0, filled(1024))
    // At the border between two answers of a vCenter that cuts them at 1 GiB.
    await harness.write(fcdId, GiB - GRAIN, filled(2 * GRAIN))
    await harness.write(fcdId, 5 * MiB + GRAIN, filled(3 * GRAIN))
    const second = await takeSnapshot(fcdId)
    await harness.write(fcdId, 100 * MiB, filled(GRAIN))
    const expected = [
      { offsetBytes: 0, lengthBytes: GRAIN },
      { offsetBytes: 5 * MiB + GRAIN, lengthBytes: 3 * GRAIN },
      { offsetBytes: GiB - GRAIN, lengthBytes: 2 * GRAIN },
      { offsetBytes: capacityBytes - GRAIN, lengthBytes: GRAIN },
    ]
    assert.equal(await service.changedAreas(fcdId, second, changeId, capacityBytes), expected)
    await removeSnapshot(fcdId, first)
    assert.equal(
      await service.changedAreas(fcdId, second, changeId, capacityBytes),
      expected,
      'without the base snapshot',
    )
    const third = await takeSnapshot(fcdId)
    const joined = await service.changedAreas(fcdId, third, changeId, capacityBytes)
    assert.is(joined.length, expected.length + 1, 'over two snapshots')
  })

  test('many small areas in many answers come out complete', async () => {
    const fcdId = await harness.createDisk(64 * MiB, true)
    const changeId = (await service.changeId(fcdId, await takeSnapshot(fcdId))) ?? ''
    const written = Array.from({ length: 100 }, (_, at) => ({ offsetBytes: 2 * at * GRAIN, lengthBytes: GRAIN }))
    for (const area of written) await harness.write(fcdId, area.offsetBytes, filled(GRAIN))
    const after = await takeSnapshot(fcdId)
    assert.equal(await service.changedAreas(fcdId, after, changeId, 64 * MiB), written)
  })

  test('nothing written is no area', async () => {
    const fcdId = await harness.createDisk(1 * MiB, true)
    await harness.write(fcdId, 0, filled(GRAIN))
    const changeId = (await service.changeId(fcdId, await takeSnapshot(fcdId))) ?? ''
    const after = await takeSnapshot(fcdId)
    assert.not.equal(await service.changeId(fcdId, after), changeId)
    assert.equal(await service.changedAreas(fcdId, after, changeId, MiB), [])
  })

  test('with a change id of another tracking, changes are unknown', async () => {
    const fcdId = await harness.createDisk(1 * MiB, true)
    const changeId = (await service.changeId(fcdId, await takeSnapshot(fcdId))) ?? ''
    const snapshotId = await takeSnapshot(fcdId)
    const lost = (id: string, snapshot = snapshotId) =>
      rejects(service.changedAreas(fcdId, snapshot, id, MiB), TerminalError, 'ChangeTrackingLost')
    for (const id of ['', '*', 'garbage', changeId.replace(/..$/, '/0x'), changeId.replace(/\d+$/, '99')])
      await lost(id)
    await lost(`${changeId.startsWith('00') ? 'ff' : '00'}${changeId.slice(2)}`)
    await harness.setTracking(fcdId, false)
    await harness.setTracking(fcdId, true)
    const later = await takeSnapshot(fcdId)
    await lost(changeId, later)
  })

  test('after a disk has grown, changes are unknown', async () => {
    const fcdId = await harness.createDisk(1 * MiB, true)
    const changeId = (await service.changeId(fcdId, await takeSnapshot(fcdId))) ?? ''
    const after = await takeSnapshot(fcdId)
    await rejects(service.changedAreas(fcdId, after, changeId, 2 * MiB), TerminalError, 'ChangeTrackingLost')
  })

  test('disk access names the vCenter, its certificate and the datastore', async () => {
    const fcdId = await harness.createDisk(1 * MiB, false)
    const access = await service.diskAccess(fcdId)
    const facts = await service.describe(fcdId)
    assert.is(access.server, facts?.vcenter)
    assert.is(access.datastoreMoref, facts?.datastoreMoref)
    assert.match(access.thumbprintSha1, /^([0-9A-F]{2}:){19}[0-9A-F]{2}$/)
    assert.ok(access.user !== '' && access.password !== '' && access.port > 0)
  })

  return test
}

export function filled(lengthBytes: number): Uint8Array {
  return new Uint8Array(lengthBytes).fill(1 + Math.floor(Math.random() * 255))
}

/** The id of the snapshot that this task makes. */
export async function takenBy(service: VolumeService, fcdId: string, description: string): Promise<string> {
  return (await finished(service, await service.startSnapshot(fcdId, description))) ?? ''
}

export function finished(service: VolumeService, task: TaskRef): Promise<string | undefined> {
  return eventually(async () => {
    const state = await service.pollTask(task)
    return state.state === 'done' ? { result: state.result } : undefined
  }).then(({ result }) => result)
}

export async function eventually<T>(look: () => Promise<T | undefined>, clock: Clock = systemClock): Promise<T> {
  for (let tries = 0; tries < 200; tries++) {
    const seen = await look()
    if (seen !== undefined) return seen
    await clock.sleep(25)
  }
  throw new Error('it did not happen')
}

/** Returns the error, for further checks. */
export async function rejects(
  act: Promise<unknown>,
  errorClass: typeof RetryableError | typeof TerminalError,
  reason: string,
): Promise<DormouseError> {
  const outcome: unknown = await act.then(
    (value) => new Error(`it did not fail, it gave ${JSON.stringify(value)}`),
    (error: unknown) => error,
  )
  if (!(outcome instanceof errorClass) || outcome.reason !== reason) {
    const got =
      outcome instanceof DormouseError ? `${outcome.name} ${outcome.reason}: ${outcome.message}` : String(outcome)
    throw new Error(`wants ${errorClass.name} ${reason}, got ${got}`, { cause: outcome })
  }
  return outcome
}
