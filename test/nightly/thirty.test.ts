// Thirty volumes are due at once with two movers: no 504, no dead letter, oldest first, and each one that waits says why.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FRONT_SIZE, oldestFirst } from '#shared/domain/slots.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import type { Recorder } from '#test/environment/kubernetes/wait.ts'
import { aSnapshot, claimRepository, typeOf } from '#test/environment/main-job.ts'
import { noise, writePieces } from '#test/environment/storage/content.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const MIB = 2 ** 20
const COUNT = 30
const NAMESPACE = 'crowd'
const TIMEOUT_MS = 8 * 60_000

const crowd = suite('thirty at once')
let environment: Environment
let recorder: Recorder

const step = (object: LooseObject) => object.metadata.labels?.['dormouse.dev/step']
const states = () => recorder.seen.filter(({ deleted }) => !deleted)

crowd.before(async () => {
  environment = await startEnvironment({ movers: 2, env: { FAKE_VDDK_MBPS: '20' } })
  const repository = await claimRepository(environment)
  for (let index = 0; index < COUNT; index++) {
    const volume = await environment.createVolume({ namespace: NAMESPACE, name: `data-${index}`, sizeBytes: 16 * MIB })
    await writePieces(volume.file, [{ offsetBytes: 0, data: noise(`crowd-${index}`, 8 * MIB) }])
  }
  recorder = await environment.record('Upload', 'velero')
  await Promise.all(
    Array.from({ length: COUNT }, (_, index) =>
      environment.api.create(aSnapshot(`snap-${index}`, { namespace: NAMESPACE, name: `data-${index}` }, repository)),
    ),
  )
})
crowd.after(async () => {
  await environment.stop()
})

crowd('row 60: all of them are uploaded', async () => {
  const isOver = (object: LooseObject | undefined) =>
    ['Uploaded', 'SnapshotFailed', 'UploadFailedAfterRetry'].includes(object?.['status']?.phase)
  for (let index = 0; index < COUNT; index++) {
    const { object } = await environment.waitFor('Snapshot', NAMESPACE, `snap-${index}`, isOver, TIMEOUT_MS)
    assert.is(object['status'].phase, 'Uploaded', object['status'].message)
  }
  const uploads = await environment.api.list(typeOf('Upload').apiVersion, 'Upload')
  assert.is(uploads.length, COUNT)
  for (const { metadata, ...upload } of uploads)
    assert.is(upload['status'].retryCount ?? 0, 0, `${metadata.name} needed no retry`)
})

crowd('at no time do more than two transfer', () => {
  const moving = new Set<string>()
  for (const { object } of states()) {
    const { name } = object.metadata
    if (object['status'].phase === 'InProgress') moving.add(name)
    else moving.delete(name)
    assert.ok(moving.size <= 2, `${[...moving].join(', ')} at the same time`)
  }
})

/** Those that came at the same moment as others, and found the front full, may be behind as many younger ones as the front has. */
const MOST_PASSED_BY = FRONT_SIZE

crowd('each one that waits says why, and the oldest goes first, except for a front of younger ones', () => {
  const waiting = new Map<string, LooseObject>()
  const passedBy = new Map<string, number>()
  let queued = 0
  for (const { object } of states()) {
    const { name } = object.metadata
    if (step(object) === 'queued') {
      queued++
      const reason = object['status'].conditions.find((condition: { type: string }) => condition.type === 'Queued')
      assert.is(reason?.status, 'True')
      assert.match(object['status'].message, /waits for a transfer slot: all 2/)
      waiting.set(name, object)
      continue
    }
    if (!waiting.delete(name) || step(object) !== 'upload') continue
    for (const older of waiting.keys())
      if (isBefore(waiting.get(older)!, object)) passedBy.set(older, (passedBy.get(older) ?? 0) + 1)
  }
  for (const [name, count] of passedBy)
    assert.ok(count <= MOST_PASSED_BY, `${name} waited while ${count} younger ones were given a slot`)
  assert.ok(queued >= COUNT / 2, `${queued} times one of them waited`)
})

function isBefore(one: LooseObject, other: LooseObject): boolean {
  return oldestFirst([other, one])[0] === one
}

crowd('no request ran into its time limit, and no event was given up', () => {
  for (const [name, counts] of Object.entries(environment.router.counts())) assert.is(counts.deadLettered, 0, name)
  for (const [name, counts] of Object.entries(environment.activator.counts()))
    assert.is(counts.byStatus['504'] ?? 0, 0, name)
})

crowd.run()
