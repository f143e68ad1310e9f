// How the sweep shares out its time: one kind, one namespace or one object cannot keep the others from their turn.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { glance } from '#shared/domain/glance.ts'
import { slotHolder } from '#shared/domain/slots.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { stores } from '#test/support/stores.ts'
import { type SweepDeps, sweep } from '../../functions/sweep/handler.ts'

const fair = suite('the sweep and its tenants')
const NOW_MS = Date.parse('2026-11-30T12:00:00Z')
const HOUR_MS = 3_600_000
/** The most wake-ups at one time. */
const AT_ONCE = 64
const LONG_AGO = new Date(NOW_MS - 48 * HOUR_MS).toISOString()
const OTHER_KINDS = [
  'Snapshot',
  'CloneFromSnapshot',
  'DeleteSnapshot',
  'Upload',
  'Download',
  'BackupRepositoryClaim',
] as const

/** A cluster whose clock moves by what calls and wake-ups take. */
function aSweep(options: { limits?: SweepDeps['limits']; pageObjects?: number; wakeMs?: number } = {}) {
  let nowMs = NOW_MS
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, sleep: async () => undefined }
  const calls: string[] = []
  const cluster = new MemoryCluster({
    clock: { nowMs: () => NOW_MS - HOUR_MS },
    pageObjects: options.pageObjects ?? 500,
    beforeCall: async (verb, kind) => void calls.push(`${verb} ${kind}`),
  })
  const woken: string[] = []
  const refused = new Set<string>()
  const warnings: string[] = []
  const log = { debug() {}, info() {}, error() {}, warn: (_: object, line: string) => void warnings.push(line) }
  let atOnce = 0
  let mostAtOnce = 0
  /** Wake-ups that are sent at the same time take their time together. */
  const wake = async (_step: string, ref: { namespace: string | undefined; name: string }) => {
    mostAtOnce = Math.max(mostAtOnce, ++atOnce)
    await new Promise((resolve) => setImmediate(resolve))
    nowMs += (options.wakeMs ?? 0) / AT_ONCE
    atOnce--
    if (refused.has(ref.name)) throw new RetryableError('WakeFailed', 'nobody answers')
    woken.push(`${ref.namespace}/${ref.name}`)
  }
  const seed = (kind: KindName, namespace: string, name: string, fields: Partial<LooseObject> = {}) => {
    const { metadata, ...rest } = fields
    const place = { name, namespace, ...metadata }
    return cluster.seed(kind, { apiVersion: KINDS[kind].apiVersion, kind, spec: {}, ...rest, metadata: place })
  }
  const due = (namespace: string, count: number) => {
    for (let i = 0; i < count; i++) seed('Snapshot', namespace, `s-${i}`)
  }
  const over = new AbortController()
  const run = async () => {
    const settings = readSettings({ DORMOUSE_MOVERS: '2' })
    const { limits } = options
    const deps = { cluster, clock, settings, stores, identity: 'sweep', log, wake, count: () => undefined }
    return await sweep(limits === undefined ? deps : { ...deps, limits }, over.signal)
  }
  const of = (namespace: string) => new Set(woken.filter((each) => each.startsWith(`${namespace}/`))).size
  const pass = (ms: number) => {
    nowMs += ms
  }
  return {
    cluster,
    calls,
    seed,
    due,
    run,
    woken,
    of,
    over,
    refused,
    warnings,
    pass,
    now: () => nowMs,
    most: () => mostAtOnce,
  }
}

for (const broken of [...OTHER_KINDS, 'Lease'] as const)
  fair(`a ${broken} list that fails does not keep other kinds from being woken`, async () => {
    const { cluster, seed, run, woken, warnings } = aSweep()
    for (const kind of OTHER_KINDS) seed(kind, 'velero', `due-${kind.toLowerCase()}`)
    cluster.failNext({ verb: 'list', kind: broken, times: 100, error: new TerminalError('Forbidden', '403') })
    const report = await run()
    const others = OTHER_KINDS.filter((kind) => kind !== broken).map((kind) => `velero/due-${kind.toLowerCase()}`)
    assert.equal([...woken].sort(), others.sort())
    assert.ok(report.failed > 0)
    assert.match(warnings.join(), broken === 'Lease' ? 'could not read the Leases' : `could not list ${broken}s`)
  })

fair('once its request is over nothing more is woken; the rest is left to the next sweep', async () => {
  const { due, run, woken, over } = aSweep()
  due('shop', 300)
  woken.push = (name) => {
    over.abort()
    return Array.prototype.push.call(woken, name)
  }
  const { left } = await run()
  assert.ok(woken.length <= AT_ONCE, `${woken.length} woken`)
  assert.is(left, 300 - woken.length)
})

fair('no slot is freed, no Lease removed and no record ended because of a list that failed', async () => {
  const { cluster, seed, run } = aSweep()
  const upload = seed('Upload', 'velero', 'u', { metadata: { name: 'u', labels: { 'dormouse.dev/step': 'running' } } })
  const ours = { 'app.kubernetes.io/part-of': 'dormouse' }
  const lease = (name: string, labels: Record<string, string>, holderIdentity?: string) =>
    seed('Lease', 'velero', name, { metadata: { name, labels: { ...ours, ...labels } }, spec: { holderIdentity } })
  lease('dormouse-slot-0', { 'dormouse.dev/slot': '0' }, slotHolder(upload))
  lease('upload-lease.u', {})
  const status = { phase: 'Completed', root: 'roots/x', completionTimestamp: LONG_AGO }
  const metadata = { name: 'old', labels: { 'dormouse.dev/step': 'done' } }
  seed('Upload', 'velero', 'old', { metadata, spec: { snapshotReference: 'shop/s' }, status })
  seed('Snapshot', 'shop', 's', { status: { phase: 'Uploading', uploadName: 'old' } })
  for (const kind of ['Upload', 'Snapshot'] as const) {
    cluster.failNext({ verb: 'list', kind, times: 1 })
    const report = await run()
    cluster.clearFaults()
    assert.equal([report.slotsFreed, report.collected], [0, 0], kind)
    assert.is(cluster.peek('Lease', 'velero', 'dormouse-slot-0')?.['spec']?.holderIdentity, slotHolder(upload))
    assert.ok(cluster.peek('Upload', 'velero', 'old'))
  }
  cluster.failNext({ verb: 'list', kind: 'Upload', times: 1 })
  await run()
  assert.ok(cluster.peek('Lease', 'velero', 'upload-lease.u'))
})

fair('a slot that was taken after the objects were listed stays', async () => {
  const { cluster, seed, run } = aSweep()
  const stop = cluster.onWrite(() => undefined)
  const page = cluster.page.bind(cluster)
  cluster.page = async (...args) => {
    const listed = await page(...args)
    if (args[0] === 'Download') {
      const young = seed('Upload', 'velero', 'young', {
        metadata: { name: 'young', labels: { 'dormouse.dev/step': 'running' } },
      })
      const metadata = { name: 'dormouse-slot-0', labels: { 'dormouse.dev/slot': '0' } }
      seed('Lease', 'velero', 'dormouse-slot-0', { metadata, spec: { holderIdentity: slotHolder(young) } })
    }
    return listed
  }
  // The Uploads were read earlier; the lists are read in the order of the kinds.
  const report = await run().finally(stop)
  assert.is(report.slotsFreed, 0)
})

fair('dead slots are freed: of what is gone, over, or waits again', async () => {
  const { seed, run, cluster } = aSweep()
  const waiting = seed('Upload', 'velero', 'w', { metadata: { name: 'w', labels: { 'dormouse.dev/step': 'waiting' } } })
  for (const [index, holderIdentity] of [slotHolder(waiting), 'Upload/gone'].entries()) {
    const metadata = { name: `dormouse-slot-${index}`, labels: { 'dormouse.dev/slot': String(index) } }
    seed('Lease', 'velero', metadata.name, { metadata, spec: { holderIdentity } })
  }
  assert.is((await run()).slotsFreed, 2)
  assert.ok(cluster.peekAll('Lease').every((lease) => !lease['spec']?.holderIdentity))
})

fair('with 2,000 due objects of one namespace, all due objects of fifty others are woken in one sweep', async () => {
  const { due, run, of, pass, now } = aSweep()
  due('aaa', 2000)
  for (let i = 0; i < 50; i++) due(`team-${i}`, 10)
  const startMs = now()
  const report = await run()
  assert.ok(now() - startMs < 60_000)
  for (let i = 0; i < 50; i++) assert.is(of(`team-${i}`), 10)
  assert.is(of('aaa'), 200, 'its share of one sweep')
  assert.is(report.left, 1800)
  for (let sweeps = 1; sweeps < 60; sweeps++) {
    pass(60_000)
    await run()
  }
  assert.ok(of('aaa') > 1900, `${of('aaa')} of them had their turn in an hour: another order in each sweep`)
})

fair('wake-ups without an answer are sent many at a time, and end in time', async () => {
  const { due, run, of, now, most } = aSweep({ wakeMs: 4000 })
  due('aaa', 2000)
  for (let i = 0; i < 40; i++) due(`team-${i}`, 5)
  const startMs = now()
  await run()
  assert.ok(now() - startMs < 60_000, `${now() - startMs} ms`)
  assert.is(most(), AT_ONCE)
  for (let i = 0; i < 40; i++) assert.is(of(`team-${i}`), 5)
})

fair('an object that cannot be woken keeps no other from being woken', async () => {
  const { due, run, of, refused } = aSweep()
  due('a', 3)
  due('b', 3)
  refused.add('s-0')
  const report = await run()
  assert.equal([of('a'), of('b'), report.failed], [2, 2, 2])
})

fair('a namespace with too much in it is read last, and the others are handled all the same', async () => {
  const { seed, due, run, of, warnings, calls } = aSweep({
    pageObjects: 10,
    limits: { perTenant: 6000, inAll: 30_000, floodBytes: 100_000 },
  })
  for (let i = 0; i < 300; i++)
    seed('Snapshot', 'aaa', `s-${String(i).padStart(3, '0')}`, { status: { message: 'x'.repeat(5000) } })
  due('shop', 5)
  await run()
  assert.equal([of('shop'), of('aaa')], [5, 200])
  assert.match(warnings.join(), 'Snapshots of namespace aaa take so much that they are read last')
  assert.ok(calls.filter((call) => call === 'list Snapshot').length < 40)
})

fair('a server that takes its time for a flood still leaves time for the others', async () => {
  const { cluster, seed, due, run, of, pass } = aSweep({
    pageObjects: 10,
    limits: { perTenant: 6000, inAll: 30_000, floodBytes: 30_000 },
  })
  for (let i = 0; i < 600; i++) seed('Snapshot', 'aaa', `s-${i}`, { status: { message: 'x'.repeat(2000) } })
  due('shop', 5)
  const page = cluster.page.bind(cluster)
  cluster.page = async (...args) => {
    if (args[0] === 'Snapshot') pass(1000)
    return await page(...args)
  }
  await run()
  assert.is(of('shop'), 5)
})

fair('of more objects than there is room for, each namespace has some handled, and others the next time', async () => {
  const { seed, due, run, of, pass, cluster } = aSweep({ limits: { perTenant: 50, inAll: 200 } })
  due('aaa', 400)
  due('shop', 20)
  // A transfer of a Snapshot that the sweep did not remember must not count as one without an owner.
  seed('Download', 'velero', 'd', {
    metadata: {
      name: 'd',
      labels: { 'dormouse.dev/step': 'waiting' },
      annotations: { 'dormouse.dev/staged': 'true' },
    },
    spec: { clonefromSnapshotReference: 'aaa/none' },
  })
  for (let i = 0; i < 30; i++) {
    const report = await run()
    assert.ok(report.looked <= 200)
    pass(60_000)
  }
  assert.is(of('shop'), 20)
  assert.ok(of('aaa') > 350, `${of('aaa')}`)
  assert.is(of('velero'), 0)
  assert.ok(cluster.peek('Download', 'velero', 'd'))
})

fair('a tenant that names a hundred thousand Backups has a hundred of them looked at in one sweep', async () => {
  const { seed, run, calls } = aSweep()
  for (let i = 0; i < 500; i++)
    seed('Snapshot', 'aaa', `s-${i}`, {
      metadata: {
        name: `s-${i}`,
        labels: { 'velero.io/backup-uid': `u-${i}`, 'dormouse.dev/step': 'waiting' },
        annotations: { 'dormouse.dev/velero-backup': `b-${i}`, 'dormouse.dev/due': '2036-01-01T00:00:00Z' },
      },
      status: { phase: 'New' },
    })
  const report = await run()
  assert.is(calls.filter((call) => call === 'read Backup').length, 100)
  assert.is(report.abandoned, 100)
})

fair('Uploads and Downloads of other namespaces are ignored', async () => {
  const { seed, run, woken } = aSweep()
  for (const kind of ['Upload', 'Download'] as const) seed(kind, 'shop', 'x')
  await run()
  assert.equal(woken, [])
})

fair('the Leases that record when a task began stay', async () => {
  const { seed, run, cluster } = aSweep()
  const labels = { 'app.kubernetes.io/part-of': 'dormouse', 'dormouse.dev/task': 'orphans' }
  seed('Lease', 'velero', 'dormouse-task-orphans', { metadata: { name: 'dormouse-task-orphans', labels } })
  await run()
  assert.ok(cluster.peek('Lease', 'velero', 'dormouse-task-orphans'))
})

fair('other finalizers stay on what is let go, though a sweep keeps none of them in mind', async () => {
  const { seed, run, cluster, now } = aSweep()
  const finalizers = ['other.io/x', 'dormouse.dev/object']
  const deletionTimestamp = new Date(now() - 30 * HOUR_MS).toISOString()
  seed('Snapshot', 'shop', 'stuck', {
    metadata: { name: 'stuck', finalizers, deletionTimestamp, labels: { 'dormouse.dev/step': 'waiting' } },
    status: { phase: 'New' },
  })
  assert.is((await run()).released, 1)
  assert.equal(cluster.peek('Snapshot', 'shop', 'stuck')?.metadata.finalizers, ['other.io/x'])
})

for (const downloadName of ['download-1-u-0', 'nonsense', undefined])
  fair(`a clone whose volume changes hands is woken, whatever its user has written (${downloadName})`, async () => {
    const { seed, run, woken } = aSweep()
    const plan = {
      claimUID: 'c',
      metadata: { name: 'pv', annotations: { long: 'x'.repeat(4000) } },
      spec: { csi: { volumeHandle: 'fcd' } },
    }
    const status = { phase: 'Completed', ...(downloadName === undefined ? {} : { downloadName }) }
    const labels = { 'dormouse.dev/step': 'done' }
    seed('CloneFromSnapshot', 'shop', 'other', { metadata: { name: 'other', labels }, status })
    const { metadata } = seed('CloneFromSnapshot', 'shop', 'mine', { metadata: { name: 'mine', labels }, status })
    // The second Download was made for an earlier clone of that name.
    for (const uid of [metadata.uid, 'u-0'])
      seed('Download', 'velero', `download-1-${uid}`, {
        metadata: {
          name: `download-1-${uid}`,
          labels,
          annotations: { 'dormouse.dev/hand-over': JSON.stringify({ target: 'data', plan }) },
        },
        spec: { clonefromSnapshotReference: 'shop/mine' },
        status: { phase: 'Completed' },
      })
    await run()
    assert.equal(
      woken.filter((each) => each.startsWith('shop/')),
      ['shop/mine'],
    )
  })

fair('what the sweep remembers of a megabyte is a few hundred bytes, with everything that decisions read', () => {
  const long = 'x'.repeat(1 << 20)
  const object: LooseObject = {
    apiVersion: KINDS.Snapshot.apiVersion,
    kind: 'Snapshot',
    metadata: {
      name: 's',
      namespace: 'shop',
      uid: 'u',
      labels: { 'dormouse.dev/step': 'waiting', [long]: long },
      annotations: { 'dormouse.dev/velero-backup': long, other: long },
      finalizers: [long, 'dormouse.dev/object'],
    },
    spec: { backupRepository: '', snapshotCancel: true, metadata: long, snapshotReference: { deep: long } },
    status: { phase: 'New', snapshotID: long, conditions: Array.from({ length: 10_000 }, () => ({ type: long })) },
  }
  const seen = glance('Snapshot', object)
  assert.ok(JSON.stringify(seen).length < 2500, `${JSON.stringify(seen).length}`)
  assert.equal([seen['spec'].backupRepository, seen['spec'].snapshotCancel], ['', true])
  assert.equal(seen.metadata.finalizers, ['dormouse.dev/object'])
  for (const nonsense of [
    {},
    { spec: null, status: 7 },
    { status: { conditions: 'x' } },
    { status: { conditions: [null] } },
  ])
    glance('Upload', { ...object, spec: undefined, status: undefined, ...nonsense })
})

fair.run()
