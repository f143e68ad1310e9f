// A task that ticks ask for runs once at a time and no more often than its setting allows, however many ticks come, from any sender.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { type Resume, underTaskLease } from '#shared/controllers/task.ts'
import { leaseState } from '#shared/domain/lease.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import { VirtualClock } from '../simulation/clock.ts'

const tasks = suite('what a tick asks for')
const LEASE = 'dormouse-task-orphans'
const HOUR_MS = 3_600_000

function aTask(gapMs = 3_000_000) {
  let nowMs = Date.parse('2026-11-30T12:00:00Z')
  const clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
  }
  const cluster = new MemoryCluster({ clock })
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  let runs = 0
  const run = (act: (resume: Resume) => Promise<void> = async () => undefined, identity = 'pod-1') =>
    underTaskLease(
      { cluster, clock, settings: readSettings({}), identity, log },
      { name: 'orphans', gapMs },
      async (resume) => {
        runs++
        await act(resume)
        return 'done'
      },
    )
  const pass = (ms: number) => {
    nowMs += ms
  }
  return { cluster, run, pass, runs: () => runs, lease: () => cluster.peek('Lease', 'velero', LEASE) }
}

tasks('a hundred ticks in fifty minutes start one run', async () => {
  const { run, pass, runs } = aTask()
  assert.is(await run(), 'done')
  for (let i = 0; i < 100; i++) {
    pass(29_000)
    assert.match(await run(), 'it has begun less than 3000 s ago')
  }
  assert.is(runs(), 1)
  pass(100_001)
  assert.is(await run(), 'done')
})

tasks('the start of a run is recorded before it begins, and stays recorded when it fails', async () => {
  const { run, runs, lease } = aTask()
  const failing = run(async () => {
    assert.ok(lease()?.['spec']?.acquireTime)
    throw new Error('no vCenter')
  })
  await failing.then(assert.unreachable, () => undefined)
  assert.match(await run(), 'it has begun')
  assert.is(runs(), 1)
})

tasks('of several ticks at the same time, on several pods, one starts a run', async () => {
  const { run, runs } = aTask(0)
  const going = Promise.withResolvers<void>()
  const answers = ['pod-1', 'pod-2', 'pod-3'].map((pod) => run(() => going.promise, pod))
  await new Promise((resolve) => setImmediate(resolve))
  assert.match(await run(undefined, 'pod-4'), 'one is under way')
  going.resolve()
  assert.equal((await Promise.all(answers)).sort(), ['done', 'orphans: one is under way', 'orphans: one is under way'])
  assert.is(runs(), 1)
  assert.is(await run(), 'done', 'it was let go')
})

tasks('after a run that died, another starts once its Lease has expired', async () => {
  const { run, pass } = aTask(0)
  void run(() => new Promise(() => undefined))
  await new Promise((resolve) => setImmediate(resolve))
  pass(29_000)
  assert.match(await run(), 'one is under way')
  pass(2000)
  assert.is(await run(), 'done')
})

tasks('a renewal whose answer was lost costs nothing: the next renewal and the release are written', async () => {
  const clock = new VirtualClock()
  const memory = new MemoryCluster({ clock })
  let patches = 0
  const patch: Cluster['patch'] = async (...args) => {
    const written = await memory.patch(...args)
    if (patches++ === 0) throw new RetryableError('KubernetesUnavailable', 'the connection broke')
    return written
  }
  const cluster = new Proxy<Cluster>(memory, {
    get: (target, member: keyof Cluster) => (member === 'patch' ? patch : target[member].bind(target)),
  })
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const settings = readSettings({})
  const going = Promise.withResolvers<string>()
  const lease = () => memory.peek('Lease', 'velero', LEASE)
  const run = underTaskLease(
    { cluster, clock, settings, identity: 'pod-1', log },
    { name: 'orphans', gapMs: 0 },
    () => going.promise,
  )
  for (let n = 0; n < 12; n++) {
    for (let turn = 0; turn < 8; turn++) await new Promise((resolve) => setImmediate(resolve))
    assert.is(leaseState(lease(), '', clock.nowMs()), 'held')
    clock.advanceTo(clock.nextMs ?? Number.NaN)
  }
  going.resolve('done')
  assert.is(await run, 'done')
  assert.is(leaseState(lease(), '', clock.nowMs()), 'free')
})

tasks('a clock that was ahead does not keep it from running', async () => {
  const { run, pass } = aTask()
  assert.is(await run(), 'done')
  pass(-HOUR_MS)
  assert.is(await run(), 'done')
})

tasks('the next run continues where one was cut off or failed, until a run has reached the end', async () => {
  const { run } = aTask(0)
  const seen: (string | undefined)[] = []
  const leave = (after: string | undefined, error?: Error) =>
    run(async (resume) => {
      seen.push(resume.after)
      resume.keep(after)
      if (error !== undefined) throw error
    })
  await leave('disk-1')
  await leave('disk-2', new Error('no vCenter')).then(assert.unreachable, () => undefined)
  await leave(undefined)
  await leave('disk-3')
  assert.equal(seen, [undefined, 'disk-1', 'disk-2', undefined])
})

tasks.run()
