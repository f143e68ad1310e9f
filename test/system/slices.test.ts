// A transfer that takes several slices: each is seen, an event starts the next, a killed one costs itself only, and nobody
// else is woken by its progress.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import type { Recorder } from '#test/environment/kubernetes/wait.ts'
import { type Backup, backUp, claimRepository, restore } from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
const WAITING = { timeoutMs: 180_000 }

const slices = suite('slices')
let environment: Environment
let repository: string
let volume: Volume
let uploads: Recorder
let backup: Backup

slices.before(async () => {
  environment = await startEnvironment({
    env: { DORMOUSE_SLICE_SECONDS: '3', DORMOUSE_LEASE_SECONDS: '5', DORMOUSE_DUE_SECONDS: '1' },
    envOf: { upload: { FAKE_VDDK_MBPS: '4' }, download: { FAKE_VDDK_MBPS: '8' } },
    // Events alone; what no event reaches asks for the sweep.
    pingEveryMs: { 'dormouse-sweep': 0 },
  })
  repository = await claimRepository(environment)
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: 64 * MIB })
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise('orders', 60 * MIB) }])
  uploads = await environment.record('Upload', 'velero')
})
slices.after(async () => {
  await environment.stop()
})

const sliceNumbers = () =>
  uploads.seen.map(({ object }) => object['status']?.slice as number | undefined).filter((n) => n !== undefined)

slices('each slice is seen, the next starts by an event, and no other function is woken by progress', async () => {
  let before: Record<string, number> = {}
  let last: Record<string, number> = {}
  uploads.onSeen(({ object }) => {
    const { slice, phase } = object['status'] ?? {}
    if (slice === 2 && Object.keys(before).length === 0) before = environment.requestsPerFunction()
    if (phase === 'InProgress') last = environment.requestsPerFunction()
  })
  backup = await backUp(environment, CLAIM, repository, WAITING)
  assert.ok(Math.max(...sliceNumbers()) >= 4, `slices seen: ${[...new Set(sliceNumbers())].join(', ')}`)
  assert.ok((before['upload'] ?? 0) < (last['upload'] ?? 0), 'each slice is a request')
  assert.equal({ ...last, upload: 0 }, { ...before, upload: 0 }, 'nobody but the upload function was called')
  await until('the last slice is answered', () => environment.router.inFlight === 0)
  assert.equal(environment.activator.counts()['upload']?.byStatus, { 202: last['upload'] })
})

slices('the backup of many slices restores, in many slices', async () => {
  const restored = await restore(environment, backup, 'restored', WAITING)
  assert.is(await sha256(restored.volume.file), await sha256(volume.file))
})

slices('a slice that is killed in its middle costs that slice only', async () => {
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise('other orders', 60 * MIB) }])
  uploads.seen.length = 0
  const running = backUp(environment, CLAIM, repository, WAITING)
  await until('its second slice', () => sliceNumbers().some((slice) => slice >= 2), 60_000)
  const done = uploads.seen.at(-1)?.object['status'].progress.bytesDone as number
  await new Promise((resolve) => setTimeout(resolve, 1000))
  assert.ok(environment.killFunction('upload') >= 1)
  // Its event is delivered again while the dead holder's Lease still stands, so the rest is the sweep's.
  const sweeping = setInterval(() => void environment.ping('dormouse-sweep'), 1000)
  const second = await running.finally(() => clearInterval(sweeping))
  assert.is(second.upload['status'].phase, 'Completed')
  // A slice moves 12 MB at this speed, and a little is read again where the checkpoint was not at a chunk's end.
  const again = second.progress.bytesRead! - second.progress.totalBytes!
  assert.ok(again <= 14 * MIB, `${again} bytes were read twice, the kill came after ${done} were done`)
  const restored = await restore(environment, second, 'restored-again', WAITING)
  assert.is(await sha256(restored.volume.file), await sha256(volume.file))
})
slices.run()
