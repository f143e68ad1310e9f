// While an upload of minutes runs, no other function gets a request because of its progress.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '#shared/api/kinds.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { aSnapshot, claimRepository } from '#test/environment/main-job.ts'
import { noise, writePieces } from '#test/environment/storage/content.ts'
import { sumOf } from './support/metrics.ts'

const MIB = 2 ** 20
const OTHERS = ['snapshot', 'clone', 'download', 'delete', 'repository', 'sweep']
/** The first slice is under way, and everyone's part in starting it is over. */
const SETTLED_MS = 8_000
const TIMEOUT_MS = 5 * 60_000

const quiet = suite('an upload of minutes')
let environment: Environment

/** Requests that the function itself has counted; 0 when it sleeps. */
async function counted(name: string): Promise<number> {
  const texts = await environment.metricsOf(name)
  return texts.reduce((sum, text) => sum + sumOf(text, 'dormouse_requests_total'), 0)
}

async function countAll(): Promise<Record<string, number>> {
  const entries = await Promise.all(OTHERS.map(async (name) => [name, await counted(name)] as const))
  return Object.fromEntries(entries)
}

quiet.before(async () => {
  environment = await startEnvironment({
    env: { DORMOUSE_SLICE_SECONDS: '30' },
    envOf: { upload: { FAKE_VDDK_MBPS: '1' } },
    pingEveryMs: { 'dormouse-sweep': 0 },
    idleMs: TIMEOUT_MS, // so that every function is there to tell what it counted
  })
})
quiet.after(async () => {
  await environment.stop()
})

quiet('every request in between is one of its own slices', async () => {
  const repository = await claimRepository(environment)
  const volume = await environment.createVolume({ namespace: 'shop', name: 'orders', sizeBytes: 256 * MIB })
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise('quiet', 125 * MIB) }])
  const uploads = await environment.record('Upload', 'velero')
  await environment.api.create(aSnapshot('snap-quiet', { namespace: 'shop', name: 'orders' }, repository))
  const isUploading = (object: KubeObject | undefined) => object?.['status']?.phase === 'Uploading'
  await environment.waitFor('Snapshot', 'shop', 'snap-quiet', isUploading)
  const startMs = Date.now()
  await new Promise((resolve) => setTimeout(resolve, SETTLED_MS))
  const before = await countAll()
  const reached = environment.requestsPerFunction()
  assert.ok((before['snapshot'] ?? 0) > 0, 'the function that was at work is seen in its own metrics')

  const isNearlyThere = (object: KubeObject | undefined) => (object?.['status']?.progress?.percent ?? 0) >= 95
  const name = uploads.seen[0]?.object.metadata.name ?? ''
  const { object } = await environment.waitFor('Upload', 'velero', name, isNearlyThere, TIMEOUT_MS)
  const tookMs = Date.now() - startMs
  assert.equal(await countAll(), before, 'requests of the other functions, by their own metrics')
  const now = environment.requestsPerFunction()
  for (const other of OTHERS) assert.is(now[other], reached[other], `requests that reached ${other}`)
  const slices: number = object['status'].slice
  assert.ok(slices >= 3, `${slices} slices`)
  assert.is(now['upload'], slices, 'one request for each slice')
  assert.ok(uploads.seen.length > 30, `${uploads.seen.length} states of the Upload were written meanwhile`)
  assert.ok(tookMs >= 100_000, `the upload took ${Math.round(tookMs / 1000)} s`)
})

quiet.run()
