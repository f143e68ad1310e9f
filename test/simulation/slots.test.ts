// Thirty volumes are due at once, with two movers: the oldest goes first, none is forgotten, and each one says why it waits.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { conditionOf } from '#shared/domain/conditions.ts'
import { isQueued, oldestFirst } from '#shared/domain/slots.ts'
import { DISK_LABEL, WAITING_SINCE_ANNOTATION } from '#shared/domain/waited-in-vain.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { HOUR_MS, KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { assertNothingLeft } from './invariants.ts'
import { aSnapshot, aVolume, isDone } from './objects.ts'
import { World } from './world.ts'

const COUNT = 30
/** Enough volumes for tests with several runs, as each run moves its volumes with the real engine. */
const FEWER = 12
const DATA = noiseOf('data', 384 * KiB)

/** `movedMs`: when the last one was sealed. Disk snapshots that a warm pod still has open are removed later. */
type Report = { started: string[]; mostAtOnce: number; broken: string[]; movedMs: number }

async function backUpAll(world: World, count = COUNT): Promise<Report> {
  const { broken } = world
  const started: string[] = []
  const moving = new Set<string>()
  let mostAtOnce = 0
  let movedMs = 0
  world.cluster.onWrite((kind, before, after) => {
    if (kind !== 'Upload' || after === undefined) return
    const { name } = after.metadata
    if (before?.['status']?.phase === 'New' && after['status']?.phase === 'InProgress') started.push(name)
    if (before?.['status']?.root === undefined && after['status']?.root !== undefined) movedMs = world.clock.nowMs()
    if (after['status']?.phase === 'InProgress') moving.add(name)
    else moving.delete(name)
    mostAtOnce = Math.max(mostAtOnce, moving.size)
    if (
      after.metadata.labels?.['dormouse.dev/step'] === 'queued' &&
      conditionOf(after['status']?.conditions, 'Queued')?.status !== 'True'
    )
      broken.push(`${name} waits without a reason`)
  })
  for (let i = 0; i < count; i++) {
    world.volumes.write(aVolume(world, `data-${i}`), 0, DATA)
    aSnapshot(world, `snap-${i}`, `data-${i}`)
  }
  await world.run(
    () => world.cluster.peekAll('Snapshot').every(isDone) && world.cluster.peekAll('Upload').every(isDone),
  )
  await world.run(() => world.heldLeases.length === 0)
  return { started, mostAtOnce, broken, movedMs }
}

test('thirty at once, two at a time, all uploaded', async () => {
  const world = new World(7, NO_FAULTS)
  const { started, mostAtOnce, broken } = await backUpAll(world)
  assert.is(started.length, COUNT)
  assert.is(mostAtOnce, 2)
  assert.ok(world.cluster.peekAll('Snapshot').every((snapshot) => snapshot['status']?.phase === 'Uploaded'))
  assert.equal(broken, [])
  assert.equal(world.errors, [])
  assertNothingLeft(world)
})

test('of those that wait the oldest goes first', async () => {
  const world = new World(8, NO_FAULTS)
  const passedOver: string[] = []
  world.cluster.onWrite((kind, before, after) => {
    const begins = kind === 'Upload' && before?.['status']?.phase === 'New' && after?.['status']?.phase === 'InProgress'
    if (!begins || after === undefined) return
    const waiting = oldestFirst([...world.cluster.peekAll('Upload').filter(isQueued), after])
    if (waiting[0]?.metadata.uid !== after.metadata.uid)
      passedOver.push(`${after.metadata.name} before ${waiting[0]?.metadata.name}`)
  })
  const { started } = await backUpAll(world)
  assert.is(started.length, COUNT)
  assert.equal(passedOver, [])
})

test('between two slices an upload makes room for a disk that had no turn the night before, and continues after it', async () => {
  const world = new World(7, NO_FAULTS, 1)
  for (const name of ['large', 'late']) world.volumes.write(aVolume(world, name), 0, noiseOf(name, 640 * KiB))
  const disk = world.cluster.peek('PersistentVolume', undefined, 'pv-late')?.['spec']?.csi?.volumeHandle
  const night = world.cluster.seed('Upload', {
    apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
    kind: 'Upload',
    metadata: {
      name: 'upload-of-last-night',
      namespace: 'velero',
      labels: { 'dormouse.dev/step': 'done', [DISK_LABEL]: disk! },
    },
    spec: { snapshotID: `ivd:${disk}:gone`, backupRepository: 'br' },
    status: { phase: 'Canceled', completionTimestamp: rfc3339(world.clock.nowMs() + 4 * HOUR_MS) },
  })
  world.clock.advanceTo(world.clock.nowMs() + 20 * HOUR_MS)
  const began: string[] = []
  const order: string[] = []
  const snapshotOf = (upload: LooseObject) => String(upload['spec'].snapshotReference).split('/')[1] ?? ''
  world.cluster.onWrite((kind, before, after) => {
    if (kind !== 'Upload' || after === undefined || before === undefined) return
    const name = snapshotOf(after)
    if (after['status'].slice !== before['status'].slice && began.push(name) === 2) aSnapshot(world, 'late', 'late')
    if (after['status'].phase === 'Completed' && before['status'].phase !== 'Completed') order.push(name)
  })
  aSnapshot(world, 'large', 'large')
  const uploads = () => world.cluster.peekAll('Upload')
  await world.run(() => uploads().length === 3 && uploads().every(isDone))
  const late = uploads().find((upload) => snapshotOf(upload) === 'late')
  assert.is(late?.metadata.annotations?.[WAITING_SINCE_ANNOTATION], night.metadata.creationTimestamp)
  assert.equal(order, ['late', 'large'], began.join())
  assert.ok(began.filter((name) => name === 'large').length > 1, began.join())
  await world.run(() => world.heldLeases.length === 0)
  assert.equal([...world.errors, ...world.broken], [])
  assertNothingLeft(world)
})

test('row 60: twice the movers take half the time, up to one for each volume', async () => {
  const times: number[] = []
  for (const movers of [1, 2, 4]) {
    const world = new World(9, NO_FAULTS, movers)
    const startMs = world.clock.nowMs()
    const { mostAtOnce, movedMs } = await backUpAll(world, FEWER)
    assert.is(mostAtOnce, movers)
    times.push(movedMs - startMs)
  }
  const [one = 0, two = 0, four = 0] = times
  assert.ok(two < 0.6 * one && four < 0.6 * two, `virtual time with 1, 2, 4 movers: ${times.join(', ')} ms`)
})

for (let seed = 1; seed <= 5; seed++) {
  test(`seed ${seed}: also when events are lost and processes die`, async () => {
    const world = new World(seed, { drop: 0.2, double: 0.2, die: 0.01 })
    const { mostAtOnce, broken } = await backUpAll(world, FEWER)
    assert.ok(
      world.cluster.peekAll('Snapshot').every((snapshot) => snapshot['status']?.phase === 'Uploaded'),
      world.describe(),
    )
    assert.ok(mostAtOnce <= 2, `${mostAtOnce} at once`)
    assert.equal(broken, [])
    assertNothingLeft(world)
  })
}

test.run()
