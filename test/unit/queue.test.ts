// Thousands of transfers wait for a slot: the cost of each, whose turn it is, and that no free slot is left unused.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { TransferDeps } from '#shared/controllers/deps.ts'
import { Permits } from '#shared/controllers/deps.ts'
import { freeDeadSlots, gateIn, giveSlot, takeSlot, withSlot } from '#shared/controllers/slots.ts'
import {
  FRONT_SIZE,
  frontOf,
  isQueued,
  nextInQueue,
  placeOf,
  readServed,
  servedText,
  slotHolder,
} from '#shared/domain/slots.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { measureQueue } from '#test/support/queue-load.ts'
import { stores } from '#test/support/stores.ts'

const unexpected = () => assert.unreachable()
const queue = suite('the queue for transfers')
const MOVERS = 2

function aQueue(movers = MOVERS) {
  let nowMs = Date.parse('2026-11-30T12:00:00Z')
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, sleep: async () => undefined }
  let uids = 0
  const newUid = () => `00000000-0000-4000-8000-${String(++uids).padStart(12, '0')}`
  const cluster = new MemoryCluster({ clock, newUid })
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const settings = readSettings({ DORMOUSE_MOVERS: String(movers) })
  const deps = {
    cluster,
    clock,
    settings,
    stores,
    identity: 'pod',
    log,
    permits: new Permits(1000),
  } as unknown as TransferDeps
  const add = (name: string, tenant: string, step = 'upload') => {
    nowMs += 1000
    return cluster.seed('Upload', {
      apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
      kind: 'Upload',
      metadata: { name, namespace: 'velero', labels: { 'dormouse.dev/step': step } },
      spec: { snapshotReference: `${tenant}/s` },
    })
  }
  const read = (name: string) => cluster.peek('Upload', 'velero', name) as LooseObject
  /** Handles the transfer as its function does, without moving data. */
  const start = async (name: string) => {
    const upload = read(name)
    return await withSlot({ deps, object: upload }, async () => {
      await cluster.patch('Upload', upload, { metadata: { labels: { 'dormouse.dev/step': 'running' } } })
      return 'runs'
    })
  }
  const end = async (name: string) => {
    const metadata = { labels: { 'dormouse.dev/step': 'done' } }
    await giveSlot(deps, await cluster.patch('Upload', read(name), { metadata }))
  }
  const holders = () =>
    cluster
      .peekAll('Lease')
      .map((lease) => lease['spec']?.holderIdentity as string | undefined)
      .map((holder) => cluster.peekAll('Upload').find((upload) => slotHolder(upload) === holder)?.metadata.name)
      .filter((name) => name !== undefined)
  /** Each transfer with a slot starts, if it has not; then the first running one ends. Returns the names in the order of their starts. */
  const drain = async () => {
    const order: string[] = []
    for (let turns = 0; holders().length > 0 && turns < 1000; turns++) {
      for (const name of holders()) {
        if (order.includes(name)) continue
        assert.is(await start(name), 'runs', `${name} was given a slot`)
        order.push(name)
      }
      await end(order[turns] as string)
    }
    return order
  }
  return { cluster, deps, add, start, end, read, holders, drain }
}

queue('requests and objects read grow linearly with the number of waiting transfers', async () => {
  const rows = [await measureQueue(100), await measureQueue(400)] as const
  for (const part of ['queueing', 'draining'] as const) {
    const [few, many] = [rows[0][part], rows[1][part]]
    assert.ok(many.requests < 4.4 * few.requests, `${part}: ${few.requests}, ${many.requests} requests`)
    assert.ok(many.requests < 20 * 400, `${part}: ${many.requests} requests`)
  }
  // Each reads the front once, which costs a constant.
  assert.ok(rows[1].queueing.objects < 25 * 400, `${rows[1].queueing.objects} objects`)
  assert.ok(rows[1].queueing.objects < 4.6 * rows[0].queueing.objects)
})

queue('with thousands of one namespace waiting, the one of another is next', async () => {
  const { add, start, end, drain } = aQueue()
  for (let i = 0; i < 60; i++) {
    add(`flood-${i}`, 'flood')
    await start(`flood-${i}`)
  }
  add('single', 'shop')
  assert.is(await start('single'), 'queued')
  await end('flood-0')
  const order = await drain()
  assert.is(order[0], 'single', order.slice(0, 4).join())
  assert.is(order.length, 60, 'all but flood-0, which had ended, and each of them once')
})

queue('namespaces take turns, and in each the oldest goes first', async () => {
  const { add, start, drain } = aQueue(1)
  for (const [tenant, count] of [
    ['a', 40],
    ['b', 5],
    ['c', 2],
  ] as const)
    for (let i = 0; i < count; i++) {
      add(`${tenant}${i}`, tenant)
      await start(`${tenant}${i}`)
    }
  const order = await drain()
  assert.equal(order.slice(0, 14), 'a0 b0 c0 a1 b1 c1 a2 b2 a3 b3 a4 b4 a5 a6'.split(' '))
  for (const tenant of ['a', 'b', 'c']) {
    const own = order.filter((name) => name.startsWith(tenant)).map((name) => Number(name.slice(1)))
    assert.equal(
      own,
      [...own].sort((x, y) => x - y),
    )
  }
  assert.is(order.length, 47)
})

queue('an older transfer that comes late goes before the younger ones of its namespace', async () => {
  const { add, start, drain } = aQueue(1)
  for (let i = 0; i < 40; i++) add(`u${i}`, 'a')
  for (const i of [0, ...Array.from({ length: 38 }, (_, index) => index + 2), 1]) await start(`u${i}`)
  const order = await drain()
  assert.equal(order.slice(0, 3), ['u0', 'u1', 'u2'])
})

queue('a slot that becomes free between read and patch goes to the transfer that has just queued', async () => {
  const { deps, add, start, end, cluster, holders } = aQueue(1)
  add('first', 'a')
  await start('first')
  add('second', 'a')
  let ended = false
  const stop = cluster.onWrite((kind, _before, after) => {
    if (kind === 'Upload' && after !== undefined && isQueued(after)) ended = true
  })
  const page = cluster.page.bind(cluster)
  // The first one ends just before the second one's patch.
  deps.cluster.page = async (...args) => {
    if (!ended) {
      ended = true
      await end('first')
    }
    return await page(...args)
  }
  assert.is(await start('second'), 'queued')
  stop()
  assert.equal(holders(), ['second'])
})

queue('two processes that give slots at the same time give each slot once, to different transfers', async () => {
  const { deps, add, holders, read } = aQueue(2)
  for (const name of ['x', 'y', 'z']) add(name, 'a', 'queued')
  await Promise.all([gateIn(deps), gateIn(deps), gateIn(deps)])
  assert.equal(holders().sort(), ['x', 'y'])
  assert.equal(
    ['x', 'y', 'z'].map((name) => read(name).metadata.labels?.['dormouse.dev/step']),
    ['upload', 'upload', 'queued'],
  )
})

queue(
  'a process that dies after giving a slot leaves it with a waiting transfer, and the sweep takes it back',
  async () => {
    const { deps, add, cluster, holders } = aQueue(1)
    add('x', 'a', 'queued')
    cluster.failNext({ verb: 'patch', kind: 'Upload', name: 'x', times: 2 })
    await gateIn(deps).then(unexpected, () => undefined)
    await gateIn(deps).then(unexpected, () => undefined)
    cluster.clearFaults()
    await gateIn(deps) // puts it into the front, and gives it the slot
    const isDead = async (holder: string) =>
      cluster.peekAll('Upload').some((upload) => slotHolder(upload) === holder && isQueued(upload))
    await freeDeadSlots(deps, isDead)
    await gateIn(deps)
    assert.equal(holders(), ['x'])
    assert.not.ok(isQueued(cluster.peek('Upload', 'velero', 'x')!))
  },
)

queue('a transfer with two slots keeps one', async () => {
  const { deps, add, cluster, holders } = aQueue(2)
  const x = add('x', 'a')
  await takeSlot(deps, x)
  const other = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', spec: { holderIdentity: slotHolder(x) } }
  cluster.seed('Lease', {
    ...other,
    metadata: { name: 'dormouse-slot-1', namespace: 'velero', labels: { 'dormouse.dev/slot': '1' } },
  })
  assert.is(await freeDeadSlots(deps, async () => false), 1)
  assert.equal(holders(), ['x'])
})

queue('a transfer keeps its slot over its slices, whatever waits', async () => {
  const { add, start } = aQueue(1)
  add('x', 'a')
  await start('x')
  add('y', 'b')
  assert.is(await start('y'), 'queued')
  for (let slice = 0; slice < 3; slice++) assert.is(await start('x'), 'runs')
})

queue('a conflict at the slot is retried, and leaves no slot unused', async () => {
  const { deps, add, cluster, holders } = aQueue(1)
  add('x', 'a', 'queued')
  cluster.failNext({ verb: 'create', kind: 'Lease', error: new ConflictError('AlreadyExists', 'another') })
  assert.is(await gateIn(deps), 1)
  assert.equal(holders(), ['x'])
})

const waiting = (uid: string, tenant: string): LooseObject => ({
  apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
  kind: 'Upload',
  metadata: { name: uid, namespace: 'velero', uid },
  spec: { snapshotReference: `${tenant}/s` },
})

queue('no transfer passes an older one of its namespace, and the front stays short', () => {
  const front = Array.from({ length: FRONT_SIZE }, (_, index) => waiting(`m${index}`, 'a'))
  assert.equal(placeOf(waiting('z', 'a'), front, false), { queue: 'back' })
  assert.equal(placeOf(waiting('a', 'a'), front, true), { queue: 'front', makesWay: front.at(-1) })
  assert.equal(placeOf(waiting('z', 'a'), front.slice(1), false), { queue: 'front' })
  assert.equal(placeOf(waiting('z', 'a'), front.slice(1), true), { queue: 'back' })
  assert.equal(placeOf(waiting('z', 'a'), [], true), { queue: 'back' }, 'it would pass by those at the back')
})

queue('the more transfers wait, the more join the front at a time', () => {
  const flood = Array.from({ length: 2000 }, (_, index) => waiting(`a${String(index).padStart(4, '0')}`, 'flood'))
  assert.equal(
    [10, 400, 2000].map((count) => frontOf(flood.slice(0, count)).length),
    [8, 20, 45],
  )
  assert.equal(frontOf(flood)[0]?.metadata.uid, 'a0000')
})

queue('the namespace served longest ago is next; nonsense in the annotation is ignored', () => {
  const lease = (text: string): LooseObject => ({
    apiVersion: '',
    kind: 'Lease',
    metadata: { name: 'l', annotations: { 'dormouse.dev/served': text } },
  })
  const served = readServed([lease('a=10,b=20,,c,d=x,e=-1'), undefined, lease('a=30')])
  assert.equal(
    [...served],
    [
      ['a', 30],
      ['b', 20],
    ],
  )
  assert.is(nextInQueue([waiting('1', 'a'), waiting('2', 'b')], served)?.metadata.uid, '2')
  assert.is(nextInQueue([waiting('1', 'a'), waiting('2', 'b'), waiting('3', 'c')], served)?.metadata.uid, '3')
  assert.is(servedText(served, 'b', 5), 'b=31,a=30', 'also by a clock that is behind')
})

queue.run()
