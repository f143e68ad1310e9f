// The fault bench itself: each fault of a call happens, and only to its target. test/nightly/faults-kills.test.ts covers kills.

import { rename, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import type { Rule } from '#test/environment/faults/fault-plan.ts'
import type { Faults } from '#test/environment/faults/faults.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { Api } from '#test/environment/kubernetes/api.ts'
import { aSnapshot, backUp, claimRepository } from '#test/environment/main-job.ts'
import { noise, writePieces } from '#test/environment/storage/content.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
const TAKE = 'snapshot: SOAP VslmCreateSnapshot_Task'

const bench = suite('the fault bench')
let environment: Environment
let faults: Faults
let repository: string
let throughProxy: Api

bench.before(async () => {
  environment = await startEnvironment({
    faults: true,
    idleMs: 60_000,
    env: { DORMOUSE_LEASE_SECONDS: '5', DORMOUSE_DUE_SECONDS: '1', FAKE_VDDK_MBPS: '4' },
    pingEveryMs: { 'dormouse-sweep': 1000 },
  })
  faults = environment.parts.faults!
  throughProxy = new Api({ ...environment.api.options, server: faults.kubernetes.url })
  repository = await claimRepository(environment)
  const volume = await environment.createVolume({ ...CLAIM, sizeBytes: 16 * MIB })
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise('orders', 8 * MIB) }])
})
bench.before.each(() => faults.plan.clear())
bench.after(async () => {
  throughProxy?.close()
  await environment.stop()
})

const during = async <T>(rule: Rule, act: () => Promise<T>): Promise<{ hits: number; value: T | Error }> => {
  const held = faults.plan.add(rule)
  const value = await act().catch((error: Error) => error)
  held.remove()
  return { hits: held.hits(), value }
}

const note = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'shop', name: 'note' }
const write = async (word: string): Promise<number> => {
  const answer = await throughProxy.send(
    'PATCH',
    '/api/v1/namespaces/shop/configmaps/note',
    { data: { word } },
    'application/merge-patch+json',
  )
  return answer.status
}
const wordNow = async () => (await environment.api.get(note))?.['data'].word

bench('a server answers as the rule says, once or as often as it is told, and does nothing meanwhile', async () => {
  const { namespace, name } = note
  await environment.api.create({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace, name },
    data: { word: 'first' },
  })
  for (const status of [409, 429, 500, 503]) {
    const rule = { match: /: PATCH configmaps$/, fault: { answer: { status, headers: { 'retry-after': '1' } } } }
    assert.equal(await during(rule, () => write('lost')), { hits: 1, value: status })
  }
  assert.is(await wordNow(), 'first')
  assert.is(await write('second'), 200)
  assert.is(await wordNow(), 'second')
})

bench('a connection breaks before a write, or after it has happened', async () => {
  const broken = async (reset: 'before' | 'after', word: string) => {
    const { value } = await during({ match: /PATCH configmaps/, fault: { reset } }, () => write(word))
    assert.instance(value, Error)
    return await wordNow()
  }
  assert.is(await broken('before', 'never'), 'second')
  assert.is(await broken('after', 'silently'), 'silently')
})

bench('an answer comes slowly, or is cut off', async () => {
  const text = noise('slow', 50_000).toString('hex')
  await environment.api.patch(note, { data: { text } })
  const read = async () => (await throughProxy.get(note))?.['data'].text
  const startMs = performance.now()
  const slow = await during({ match: /GET configmaps$/, fault: { bytesPerSecond: 100_000 } }, read)
  assert.equal(slow, { hits: 1, value: text })
  assert.ok(performance.now() - startMs > 800, 'a second’s worth of bytes')
  const cut = await during({ match: /GET configmaps$/, fault: { truncateAtBytes: 5000 } }, read)
  assert.instance(cut.value, Error)
  await environment.api.patch(note, { data: { text: null } })
})

bench('a server that is away refuses connections, and has kept its state', async () => {
  await faults.kubernetes.away()
  const refused = await write('nobody listens').catch((error: NodeJS.ErrnoException) => error.code)
  await faults.kubernetes.back()
  assert.is(refused, 'ECONNREFUSED')
  assert.is(await write('third'), 200)
  assert.is(await wordNow(), 'third')
})

bench('a watch comes through event by event while it stays open', async () => {
  const seen: string[] = []
  const ending = new AbortController()
  const path = '/api/v1/namespaces/shop/configmaps'
  const { resourceVersion = '' } = (await environment.api.get(note))!.metadata
  const watching = throughProxy.watch(
    path,
    { resourceVersion },
    ({ object }) => seen.push(object['data']?.word),
    ending.signal,
  )
  watching.catch(() => {}) // it is broken off below
  for (const word of ['a', 'b']) {
    await sleep(200)
    await environment.api.patch(note, { data: { word } })
    await until(`the watch says ${word}`, () => seen.at(-1) === word, 2000)
  }
  ending.abort()
})

bench('each write of a backup is known by its process and name', async () => {
  const from = faults.plan.calls.length
  await backUp(environment, CLAIM, repository)
  const points = faults.plan.points(from)
  for (const point of [
    TAKE,
    'upload mover: PUT packs/',
    'upload mover: PUT roots/',
    'upload: SOAP VslmDeleteSnapshot_Task',
  ])
    assert.ok(points.includes(point), `${point} is not among ${points.join('; ')}`)
  const watches = faults.plan.calls.filter(({ point }) => /^adapter-\S+: WATCH uploads$/.test(point))
  assert.ok(watches.length > 0, 'the event sources go through the proxy, too')
})

bench(
  'row 39: a snapshot that vCenter refuses with InvalidState, TaskInProgress or a lost session still succeeds',
  async () => {
    await environment.vcenter.addFault({ method: 'VslmCreateSnapshot', taskFault: 'InvalidState' })
    await environment.vcenter.addFault({ method: 'VslmCreateSnapshot', fault: 'TaskInProgress', after: 1 })
    await environment.vcenter.addFault({ method: 'VslmDeleteSnapshot', fault: 'NotAuthenticated' })
    await environment.vcenter.expireSessions()
    const before = (await environment.vcenterState()).calls
    await backUp(environment, CLAIM, repository)
    const { calls, fcds } = await environment.vcenterState()
    const more = (method: string) => (calls[method] ?? 0) - (before[method] ?? 0)
    assert.is(more('VslmCreateSnapshot_Task'), 3)
    assert.is(more('VslmDeleteSnapshot_Task'), 2)
    assert.equal(
      fcds.flatMap((disk) => disk.snapshots),
      [],
    )
  },
)

bench('the n-th call of VDDK fails with any code', async () => {
  const { faultFile } = environment.parts.vddk
  await writeFile(`${faultFile}.new`, 'Open 2 14009\n')
  await rename(`${faultFile}.new`, faultFile)
  const uploads = await environment.record('Upload', 'velero')
  const name = 'refused-by-vddk'
  await environment.api.create(aSnapshot(name, CLAIM, repository))
  const isRefused = () =>
    uploads.seen.some(
      ({ object }) => object['spec'].snapshotReference === `shop/${name}` && object['status']?.phase === 'UploadError',
    )
  await until('the upload says so', isRefused, 60_000)
  uploads.stop()
})

bench.run()
