// The sweep over the real API server with a hundred objects of a megabyte in one namespace: sixty of them took 411 MB when it kept them whole.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KINDS } from '#shared/api/kinds.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'

const MIB = 2 ** 20
const LIMIT_BYTES = 256 * MIB
const COUNT = 100
const FLOOD = 'aaa-flood'

const megabytes = suite('the sweep over megabytes')
let environment: Environment

megabytes.before(async () => {
  environment = await startEnvironment({
    adapters: false,
    pingEveryMs: { 'dormouse-sweep': 0 },
    env: { DORMOUSE_DUE_SECONDS: '0' },
    idleMs: 120_000,
  })
  const { api } = environment
  for (const name of [FLOOD, 'shop']) await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  const { apiVersion } = KINDS.CloneFromSnapshot
  const spec = {
    snapshotID: 'pvc:a/b:c',
    metadata: Buffer.alloc(MIB, 'x').toString('base64').slice(0, MIB),
    apiGroup: '',
    kind: 'PersistentVolumeClaim',
    backupRepository: 'none',
    cloneCancel: false,
  }
  for (let i = 0; i < COUNT; i++)
    await api.create({ apiVersion, kind: 'CloneFromSnapshot', metadata: { name: `h-${i}`, namespace: FLOOD }, spec })
  const resourceHandle = { apiGroup: '', kind: 'PersistentVolumeClaim', name: 'none' }
  const metadata = { name: 'due', namespace: 'shop' }
  const snapshot = { metadata, spec: { resourceHandle, backupRepository: 'none' } }
  await api.create({ apiVersion: KINDS.Snapshot.apiVersion, kind: 'Snapshot', ...snapshot })
})
megabytes.after(async () => {
  await environment.stop()
})

megabytes('stays within the memory of its pod, and wakes what is due elsewhere', async () => {
  const sampler = environment.sampleMemory(['dormouse-sweep'])
  const startMs = performance.now()
  await environment.ping('dormouse-sweep')
  const tookMs = performance.now() - startMs
  sampler.stop()
  const { bytes } = sampler.peak('dormouse-sweep')
  console.log(`  ${Math.round(bytes / MIB)} MiB at its peak, ${Math.round(tookMs / 1000)} s`)
  assert.ok(bytes > 30 * MIB, `it was measured: ${bytes} bytes`)
  assert.ok(bytes < LIMIT_BYTES, `${bytes / MIB} MiB`)
  assert.ok(tookMs < 60_000, `${tookMs} ms`)
  // The router records a delivery once its function has answered.
  const woken = () =>
    environment.router.attempts.map(({ attributes }) => `${attributes['namespace']}/${attributes['name']}`)
  await until('the Snapshot is woken', () => woken().includes('shop/due'), 60_000)
  const ofFlood = () => new Set(woken().filter((each) => each.startsWith(`${FLOOD}/`))).size
  await until('all of the flood are woken, too', () => ofFlood() === COUNT, 120_000)
})

megabytes.run()
