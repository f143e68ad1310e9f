// Transfers that take several slices: each slice shows in the status, an event starts the next one, and killing a slice loses only the
// work of that slice.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import type { Recorder, Seen } from '#test/environment/kubernetes/wait.ts'
import { type Backup, backUp, claimRepository, restore } from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { sumOf } from './support/metrics.ts'
import { isAlive, moverPids } from './support/movers.ts'
import { type Area, Trace } from './support/trace.ts'

const MIB = 2 ** 20
const SLICE_SECONDS = 2
const BYTES_PER_SECOND = 8e6
const ORDERS_BYTES = 72 * MIB
const LETTERS_BYTES = 48 * MIB
/** At the end of a slice, data in flight is still written: at most what a mover with so little memory may hold. */
const IN_HAND_BYTES = 8 * MIB
const SLICE_BYTES = SLICE_SECONDS * BYTES_PER_SECOND + IN_HAND_BYTES
const ORDERS = { namespace: 'shop', name: 'orders' }
const LETTERS = { namespace: 'shop', name: 'letters' }
/** The data of each claim lies at another place of its disk, so that the trace shows whose it is. */
const ORDERS_AREA: Area = { fromBytes: 0, endBytes: ORDERS_BYTES }
const LETTERS_AREA: Area = { fromBytes: 2 * ORDERS_BYTES, endBytes: 2 * ORDERS_BYTES + LETTERS_BYTES }
const WAITING = { timeoutMs: 300_000 }

const slices = suite('slices')
let environment: Environment
let repository: string
let orders: Volume
let letters: Volume
let uploads: Recorder
let downloads: Recorder
let backup: Backup
let lettersBackup: Promise<Backup>
let lettersRead: () => Promise<number>
let sweeping: NodeJS.Timeout | undefined

slices.before(async () => {
  environment = await startEnvironment({
    env: {
      DORMOUSE_SLICE_SECONDS: String(SLICE_SECONDS),
      DORMOUSE_LEASE_SECONDS: '5',
      DORMOUSE_DUE_SECONDS: '1',
      DORMOUSE_MEMORY_MIB: '256',
      FAKE_VDDK_MBPS: String(BYTES_PER_SECOND / 1e6),
    },
    // Only events wake functions, until a test kills one.
    pingEveryMs: { 'dormouse-sweep': 0 },
  })
  repository = await claimRepository(environment)
  orders = await environment.createVolume({ ...ORDERS, sizeBytes: ORDERS_BYTES })
  letters = await environment.createVolume({ ...LETTERS, sizeBytes: LETTERS_AREA.endBytes })
  await writePieces(orders.file, [{ offsetBytes: 0, data: noise('orders', ORDERS_BYTES) }])
  await writePieces(letters.file, [{ offsetBytes: LETTERS_AREA.fromBytes, data: noise('letters', LETTERS_BYTES) }])
  uploads = await environment.record('Upload', 'velero')
  downloads = await environment.record('Download', 'velero')
})
slices.after(async () => {
  clearInterval(sweeping)
  await environment.stop()
})

const statusOf = ({ object }: Seen): LooseObject['status'] => object['status'] ?? {}
const isAtWork = (seen: Seen): boolean => statusOf(seen).phase === 'InProgress'
const lastSlice = (recorder: Recorder): number =>
  Math.max(0, ...recorder.seen.filter(isAtWork).map((one) => statusOf(one).slice))

/** Slices are numbered from 1 on; each one was seen at work, and each one got further than the one before. */
function assertSlices(recorder: Recorder, wanted: number): number {
  const atWork = recorder.seen.filter(isAtWork).map(statusOf)
  const numbers = [...new Set(atWork.map(({ slice }) => slice as number))]
  assert.equal(
    numbers,
    Array.from({ length: numbers.length }, (_, index) => index + 1),
    'each slice is seen, in order',
  )
  assert.ok(numbers.length >= wanted, `${numbers.length} slices, want ${wanted} at least`)
  assert.ok(
    atWork.every(({ processingNode }) => processingNode === 'dormouse-node-1'),
    'each slice says where it runs',
  )
  const doneAfter = numbers.map((number) =>
    Math.max(0, ...atWork.filter(({ slice }) => slice === number).map(({ progress }) => progress?.bytesDone ?? 0)),
  )
  for (const [index, bytes] of doneAfter.slice(1, -1).entries())
    assert.ok(bytes > doneAfter[index]!, `bytes done after each slice: ${doneAfter.join(', ')}`)
  return numbers.length
}

/** Every request to the function was an event of a source, one for each slice; none came from the sweep. */
async function assertWokenByEvents(name: 'upload' | 'download', count: number): Promise<void> {
  await until('the last slice is answered', () => environment.router.inFlight === 0)
  const attempts = environment.router.attempts.filter(({ trigger }) => trigger === `dormouse-${name}`)
  assert.equal(
    attempts.map(({ attributes }) => attributes['type']),
    Array.from({ length: count }, () => 'dev.knative.apiserver.ref.add'),
  )
  const { [name]: own, sweep } = environment.activator.counts()
  assert.equal(own?.byStatus, { 202: count })
  assert.is(sweep?.requests, 0)
}

/** Waits until the middle of slice `number`: it has moved some data, but not as much as it can. */
async function middleOf(recorder: Recorder, number: number, movedBytes: () => Promise<number>): Promise<void> {
  await until(`slice ${number}`, () => lastSlice(recorder) >= number, 120_000)
  const before = await movedBytes()
  await until(`slice ${number} at work`, async () => (await movedBytes()) >= before + SLICE_BYTES / 4, 60_000)
}

function sweepFromNowOn(): void {
  sweeping ??= setInterval(() => void environment.ping('dormouse-sweep').catch(() => {}), 1000)
}

function assertOneSliceLost(movedBytes: number, dataBytes: number): void {
  const again = movedBytes - dataBytes
  assert.ok(again > 0, 'what the killed slice had moved was moved again')
  assert.ok(again <= SLICE_BYTES, `${again} bytes were moved twice, more than the ${SLICE_BYTES} of a slice`)
}

async function rescues(kind: string): Promise<number> {
  const metrics = (await environment.metricsOf('sweep')).join('\n')
  return sumOf(metrics, 'dormouse_sweep_wakeups_total', { kind, cause: 'rescue' })
}

slices('each slice of an upload is seen in the status, and an event starts the next', async () => {
  backup = await backUp(environment, ORDERS, repository, WAITING)
  const count = assertSlices(uploads, 5)
  await assertWokenByEvents('upload', count)
})

slices(
  'each slice of a download is seen in the status, an event starts the next, and the bytes are equal',
  async () => {
    const restored = await restore(environment, backup, 'restored', WAITING)
    const count = assertSlices(downloads, 3)
    await assertWokenByEvents('download', count)
    assert.is(await sha256(restored.volume.file), await sha256(orders.file))
  },
)

slices('an upload whose mover is killed says so, and waits for its next attempt', async () => {
  uploads.seen.length = 0
  const trace = new Trace(environment.parts.vddk.traceFile)
  await trace.skip()
  lettersRead = () => trace.movedBytes('Read', LETTERS_AREA)
  lettersBackup = backUp(environment, LETTERS, repository, WAITING)
  lettersBackup.catch(() => {}) // the test that awaits it sees the rejection
  await middleOf(uploads, 3, lettersRead)
  for (const pid of moverPids(environment, 'upload')) process.kill(pid, 'SIGKILL')
  // The label changes after the status, when the Lease is free.
  const hasFailed = (upload: LooseObject | undefined) =>
    upload?.['status'].phase === 'UploadError' && upload.metadata.labels?.['dormouse.dev/step'] !== 'running'
  const { name } = uploads.seen.at(-1)!.object.metadata
  const { object } = await environment.waitFor('Upload', 'velero', name, hasFailed)
  assert.is(object['status'].reason, 'MoverDied')
  assert.is(object['status'].retryCount, 1)
  assert.is(object.metadata.labels?.['dormouse.dev/step'], 'waiting')
  sweepFromNowOn()
})

slices('an upload slice whose function is killed with its mover costs that slice only', async () => {
  await writePieces(orders.file, [{ offsetBytes: 0, data: noise('other orders', ORDERS_BYTES) }])
  uploads.seen.length = 0
  const trace = new Trace(environment.parts.vddk.traceFile)
  await trace.skip()
  const ordersRead = () => trace.movedBytes('Read', ORDERS_AREA)
  const running = backUp(environment, ORDERS, repository, WAITING)
  running.catch(() => {})
  await middleOf(uploads, 3, ordersRead)
  const movers = moverPids(environment, 'upload')
  environment.killFunction('upload')
  await until('the movers go with their functions', () => !movers.some(isAlive))
  backup = await running
  assertOneSliceLost(await ordersRead(), ORDERS_BYTES)
  assert.ok((await rescues('Upload')) >= 1, 'the sweep woke it')
  assert.is(backup.upload['status'].retryCount ?? 0, 0, 'a lost slice is no failure of the transfer')
})

slices('a download slice whose function is killed with its mover costs that slice only', async () => {
  downloads.seen.length = 0
  const trace = new Trace(environment.parts.vddk.traceFile)
  await trace.skip()
  const written = () => trace.movedBytes('Write', ORDERS_AREA)
  const running = restore(environment, backup, 'restored-again', WAITING)
  running.catch(() => {})
  await middleOf(downloads, 3, written)
  assert.ok(environment.killFunction('download') >= 1)
  const restored = await running
  assertOneSliceLost(await written(), ORDERS_BYTES)
  assert.ok((await rescues('Download')) >= 1, 'the sweep woke it')
  assert.is(await sha256(restored.volume.file), await sha256(orders.file))
})

slices('after its back-off the upload whose mover was killed continues from its last slice', async () => {
  const ended = await lettersBackup
  assertOneSliceLost(await lettersRead(), LETTERS_BYTES)
  const restored = await restore(environment, ended, 'letters-restored', WAITING)
  assert.is(await sha256(restored.volume.file), await sha256(letters.file))
})
slices.run()
