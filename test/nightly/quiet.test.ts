// While an upload of several minutes runs, its progress wakes no other function: only `upload` gets requests, and no other function
// runs. The sweep, which a clock wakes, is counted separately.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { type Backup, backUp, claimRepository } from '#test/environment/main-job.ts'
import { noise, writePieces } from '#test/environment/storage/content.ts'
import { sumOf } from '../system/support/metrics.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
const DATA_BYTES = 126 * MIB
const SAMPLE_MS = 500
/** Shorter than an idle instance lives, so that every function that gets a request is seen. */
const IDLE_MS = 10_000
const OTHERS = ['snapshot', 'clone', 'delete', 'repository', 'download'] as const

const quiet = suite('quiet')
let environment: Environment
let watcher: Watcher
let backup: Backup
let seconds: number

/** Reads the functions' metrics twice a second: the numbers of an instance are lost when it ends. */
class Watcher {
  /** By instance: the last text of its metrics. */
  private readonly texts = new Map<string, { name: string; text: string }>()
  private readonly timer = setInterval(() => void this.sample(), SAMPLE_MS)

  async sample(): Promise<void> {
    const all = environment.activator.names().flatMap((name) =>
      environment.activator.instancesOf(name).map(async (instance) => {
        const text = await instance.metrics().catch(() => undefined) // it is just ending
        if (text !== undefined) this.texts.set(instance.program.name, { name, text })
      }),
    )
    await Promise.all(all)
  }

  sum(name: string, metric: string, labels: Record<string, string> = {}): number {
    const own = [...this.texts.values()].filter((one) => one.name === name)
    return own.reduce((sum, { text }) => sum + sumOf(text, metric, labels), 0)
  }

  requests(): Record<string, number> {
    return Object.fromEntries(OTHERS.map((name) => [name, this.sum(name, 'dormouse_requests_total')]))
  }

  stop(): void {
    clearInterval(this.timer)
  }
}

/** Requests that reached the functions' addresses. */
function arrivals(): Record<string, number> {
  const all = environment.requestsPerFunction()
  return Object.fromEntries(OTHERS.map((name) => [name, all[name] ?? 0]))
}

function running(): string[] {
  return environment.activator.names().filter((name) => environment.activator.instancesOf(name).length > 0)
}

quiet.before(async () => {
  environment = await startEnvironment({
    env: { DORMOUSE_SLICE_SECONDS: '30', FAKE_VDDK_MBPS: '1' },
    idleMs: IDLE_MS,
  })
  watcher = new Watcher()
})
quiet.after(async () => {
  watcher.stop()
  await environment.stop()
})

quiet(
  'an upload of several minutes causes no request to any other function, and one to its own per slice',
  async () => {
    const repository = await claimRepository(environment)
    const volume = await environment.createVolume({ ...CLAIM, sizeBytes: DATA_BYTES })
    await writePieces(volume.file, [{ offsetBytes: 0, data: noise('orders', DATA_BYTES) }])
    const uploads = await environment.record('Upload', 'velero')
    const startMs = performance.now()
    const making = backUp(environment, CLAIM, repository, { timeoutMs: 400_000 })
    making.catch(() => {})

    await until(
      'data moves',
      () => uploads.seen.some(({ object }) => object['status']?.progress?.bytesDone > 0),
      60_000,
    )
    await until('nobody else works', () => OTHERS.every((name) => inFlight(name) === 0))
    await watcher.sample()
    const before = { requests: watcher.requests(), arrivals: arrivals() }
    assert.equal(before.requests, before.arrivals, 'the functions count as their callers do')
    assert.ok(before.requests['snapshot']! > 0)
    backup = await making
    seconds = (performance.now() - startMs) / 1000
    await watcher.sample()
    assert.ok(seconds >= 120, `the upload took ${seconds} s`)
    assert.ok(uploads.seen.length > 20, `${uploads.seen.length} states of the Upload were written meanwhile`)
    assert.equal(watcher.requests(), before.requests, 'by the functions’ own count')
    assert.equal(arrivals(), before.arrivals, 'by what reached their addresses')

    await until('the last slice is answered', () => inFlight('upload') === 0)
    await watcher.sample()
    const { slice } = backup.upload['status']
    assert.ok(slice >= 4, `${slice} slices`)
    assert.is(watcher.sum('upload', 'dormouse_requests_total', { outcome: 'done' }), slice)
    assert.is(watcher.sum('upload', 'dormouse_requests_total'), slice)
  },
)

quiet('meanwhile only the upload function is above zero, beside the sweep that a clock wakes', () => {
  assert.equal(
    running().filter((name) => name !== 'sweep'),
    ['upload'],
  )
})

quiet('the sweep runs each minute and wakes no function', () => {
  const looks = watcher.sum('sweep', 'dormouse_requests_total', { outcome: 'done' })
  assert.ok(looks >= 2, `${looks} looks in ${seconds} s`)
  assert.is(watcher.sum('sweep', 'dormouse_sweep_wakeups_total'), 0)
})

function inFlight(name: string): number {
  return environment.activator.instancesOf(name).reduce((sum, instance) => sum + instance.inFlight, 0)
}
quiet.run()
