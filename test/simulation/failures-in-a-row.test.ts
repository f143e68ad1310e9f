// Single failures with good slices in between: a transfer that makes progress is never given up, however many failures there are in all.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DOWNLOAD_RETRIES } from '#shared/domain/download.ts'
import { STEP_LABEL } from '#shared/domain/step-label.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { assertNothingLeft } from './invariants.ts'
import { aClone, aSnapshot, aVolume, isDone } from './objects.ts'
import { World } from './world.ts'

/** Makes one disk call out of `every` fail, so that a slice fails now and then. The returned function says how many calls have failed. */
function failNowAndThen(world: World, call: 'read' | 'write', every: number): () => number {
  const open = world.disks.open.bind(world.disks)
  let calls = 0
  let failed = 0
  world.disks.open = (...args) => {
    const disk = open(...args)
    const act = disk[call].bind(disk)
    disk[call] = (...what) => {
      if (++calls % every !== 0) return act(...what)
      failed++
      throw new RetryableError('VddkHostUnavailable', 'away for a moment')
    }
    return disk
  }
  return () => failed
}

const RETRIES = 1
const READS = 7
const WRITES = 25

test('an upload', async () => {
  const world = new World(1, NO_FAULTS)
  world.cluster.seed('ConfigMap', {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'velero-vsphere-plugin-config', namespace: 'velero' },
    data: { 'upload-cr-retry-max': String(RETRIES) },
  })
  world.volumes.write(aVolume(world, 'data'), 0, noiseOf('data', 640 * KiB))
  aSnapshot(world, 'snap', 'data')
  const failed = failNowAndThen(world, 'read', READS)
  const snapshot = () => world.cluster.peek('Snapshot', 'app', 'snap')
  await world.run(() => world.isQuiet() && isDone(snapshot()))
  assert.ok(failed() > RETRIES + 1, `${failed()} failures`)
  assert.is(snapshot()?.['status']?.phase, 'Uploaded')
  assertNothingLeft(world)
})

test('a download', async () => {
  const world = new World(2, NO_FAULTS)
  world.volumes.write(aVolume(world, 'data'), 0, noiseOf('data', 640 * KiB))
  aSnapshot(world, 'snap', 'data')
  await world.run(() => isDone(world.cluster.peek('Snapshot', 'app', 'snap')))
  aClone(world, 'clone', world.cluster.peek('Snapshot', 'app', 'snap') as LooseObject)
  const failed = failNowAndThen(world, 'write', WRITES)
  const clone = () => world.cluster.peek('CloneFromSnapshot', 'restored', 'clone')
  await world.run(() => world.isQuiet() && isDone(clone()))
  assert.ok(failed() > DOWNLOAD_RETRIES, `${failed()} failures`)
  assert.is(clone()?.['status']?.phase, 'Completed')
})

test('an upload whose dead slice reported too much progress is judged by what is durable', async () => {
  const world = new World(3, NO_FAULTS)
  world.volumes.write(aVolume(world, 'data'), 0, noiseOf('data', 640 * KiB))
  aSnapshot(world, 'snap', 'data')
  const upload = () => world.cluster.peekAll('Upload')[0]
  world.eventsOn = false // the upload stays between two slices until the next sweep
  const isBetween = () => upload()?.['status']?.slice === 1 && upload()?.metadata.labels?.[STEP_LABEL] === 'upload'
  while (!isBetween()) await world.turn()
  const told = { progress: { bytesDone: 640 * KiB }, retryCount: 3 }
  await world.cluster.patch('Upload', upload() as LooseObject, { status: told })
  while ((upload()?.['status']?.slice ?? 0) < 3) await world.turn()
  assert.is(upload()?.['status']?.retryCount, 0, 'the slice after it has got on')
})

test.run()
