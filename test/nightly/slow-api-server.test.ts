// Each call of a function to the API server takes 1.5 s longer than usual: a backup and a restore of eight slices end, and hardly any work is
// done twice.

import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import type { Recorder } from '#test/environment/kubernetes/wait.ts'
import { type Backup, backUp, claimRepository, restore } from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import { type Area, Trace } from '../system/support/trace.ts'

const MIB = 2 ** 20
const LATENCY_MS = 1500
const SLICES = 8
const SLICE_SECONDS = 3
const BYTES_PER_SECOND = 6e6
const SLICE_BYTES = SLICE_SECONDS * BYTES_PER_SECOND
/** At the end of a slice, data in flight is still written: at most what a mover with so little memory may hold. */
const IN_HAND_BYTES = 8 * MIB
/** With one slice fewer, not all data could be moved, even if each slice ended with as much data in flight as a mover may hold. */
const VOLUME_BYTES = MIB + Math.ceil(((SLICES - 1) * (SLICE_BYTES + IN_HAND_BYTES)) / MIB) * MIB
const ORDERS = { namespace: 'shop', name: 'orders' }
const AREA: Area = { fromBytes: 0, endBytes: VOLUME_BYTES }
const WAITING = { timeoutMs: 10 * 60_000 }
/** Delays the functions and their movers; event sources and controllers are no part of Dormouse. */
const OURS = /^(repository|snapshot|upload|download|clone|sweep|delete|maintenance)( mover)?: /

const slow = suite('slow API server')
let environment: Environment
let repository: string
let orders: Volume
let trace: Trace
let backup: Backup
let latency: { hits: () => number }

slow.before(async () => {
  environment = await startEnvironment({
    faults: true,
    env: {
      DORMOUSE_SLICE_SECONDS: String(SLICE_SECONDS),
      DORMOUSE_MEMORY_MIB: '256',
      FAKE_VDDK_MBPS: String(BYTES_PER_SECOND / 1e6),
    },
  })
  repository = await claimRepository(environment)
  orders = await environment.createVolume({ ...ORDERS, sizeBytes: VOLUME_BYTES })
  await writePieces(orders.file, [{ offsetBytes: 0, data: noise('orders', VOLUME_BYTES) }])
  trace = new Trace(environment.parts.vddk.traceFile)
  latency = environment.parts.faults!.plan.add({
    match: OURS,
    server: 'kubernetes',
    times: Number.POSITIVE_INFINITY,
    before: async () => await sleep(LATENCY_MS),
  })
})
slow.after(async () => {
  await environment.stop()
})

/** For the transfer that the recorder saw: its number of slices, and that it never failed. */
function slicesOf(recorder: Recorder): number {
  const states = recorder.seen.filter(({ deleted }) => !deleted).map(({ object }) => object['status'] ?? {})
  assert.ok(
    states.every(({ retryCount = 0 }) => retryCount === 0),
    'no slice counts as a failure',
  )
  return Math.max(...states.map(({ slice = 0 }) => slice))
}

/** Bytes that were moved more than once. */
async function assertNextToNothingTwice(call: 'Read' | 'Write'): Promise<void> {
  const moved = await trace.movedBytes(call, AREA)
  assert.ok(moved >= VOLUME_BYTES, `${moved} bytes were moved`)
  const again = moved - VOLUME_BYTES
  assert.ok(again <= SLICE_BYTES + IN_HAND_BYTES, `${again} bytes were moved twice, more than those of one slice`)
}

slow('a backup of eight slices ends, with at most one slice of work done twice', async () => {
  const uploads = await environment.record('Upload', 'velero')
  backup = await backUp(environment, ORDERS, repository, WAITING)
  assert.ok(latency.hits() > 0, 'the API server is slow')
  const slices = slicesOf(uploads)
  assert.ok(slices >= SLICES, `${slices} slices`)
  await assertNextToNothingTwice('Read')
})

slow('a restore of eight slices ends, with at most one slice of work done twice, and the bytes are equal', async () => {
  await trace.skip()
  const downloads = await environment.record('Download', 'velero')
  const restored = await restore(environment, backup, 'restored', WAITING)
  const slices = slicesOf(downloads)
  assert.ok(slices >= SLICES, `${slices} slices`)
  await assertNextToNothingTwice('Write')
  assert.is(await sha256(restored.volume.file), await sha256(orders.file))
})

slow.run()
