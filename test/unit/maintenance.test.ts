import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { Condition } from '#shared/api/kinds.ts'
import { acquireLease, releaseLease } from '#shared/controllers/lease.ts'
import { setCondition } from '#shared/domain/conditions.ts'
import { leaseState } from '#shared/domain/lease.ts'
import { startingElsewhere } from '#shared/domain/maintenance.ts'
import { type Clock, systemClock } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { CorruptionError, RetryableError } from '#shared/kernel/errors.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import type { PruneSlice, Repositories, RepositoryAccess } from '#shared/ports/mover.ts'
import { stores } from '#test/support/stores.ts'
import { maintain, type Occasion } from '../../functions/maintenance/handler.ts'
import { wakeForPrunes } from '../../functions/sweep/prunes.ts'
import { VirtualClock } from '../simulation/clock.ts'

const test = suite('maintenance')

type PruneEnd = Awaited<ReturnType<Repositories['prune']>>

const report = (change: Partial<PruneEnd> = {}): PruneEnd => ({
  state: 'done',
  waitsFor: [],
  fenced: [],
  removed: {},
  kept: { objects: 0, bytes: 0 },
  progress: { phase: 'tidy' },
  damagedSlots: [],
  ...change,
})

/** Repositories `br-1`, … that are ready unless their name says otherwise. */
function aWorld(names: string[], prune: (name: string, slice: PruneSlice) => Promise<PruneEnd>) {
  const cluster = new MemoryCluster({ clock: systemClock })
  for (const name of names) {
    const status = name.includes('unready') ? 'False' : 'True'
    const ready = { type: 'Ready', status, reason: 'x', message: 'x', lastTransitionTime: '2026-01-01T00:00:00Z' }
    cluster.seed('BackupRepository', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'BackupRepository',
      metadata: { name },
      allowedNamespaces: [],
      repositoryDriver: 'x',
      repopsitoryParameters: { bucket: 'b' },
      backupRepositoryClaim: name,
      status: { conditions: [ready] },
    })
  }
  const counted: unknown[] = []
  const pruned: string[] = []
  const deps = {
    cluster,
    clock: systemClock as Clock,
    settings: readSettings({}),
    stores,
    identity: 'pod-1',
    log: { debug() {}, info() {}, warn() {}, error() {} },
    access: async (name: string) => ({ password: name }) as RepositoryAccess,
    repositories: {
      prune: async (access: RepositoryAccess, slice: PruneSlice) => {
        pruned.push(access.password)
        return await prune(access.password, slice)
      },
    } as unknown as Repositories,
    count: (...words: unknown[]) => void counted.push(words),
  }
  const condition = (name: string, wanted = 'Pruned'): Condition | undefined =>
    cluster
      .peekAll('BackupRepository')
      .find(({ metadata }) => metadata.name === name)
      ?.['status']?.conditions?.find(({ type }: Condition) => type === wanted)
  const run = (occasion: Occasion = 'begin', signal = new AbortController().signal) => maintain(deps, signal, occasion)
  return { cluster, deps, counted, pruned, condition, run }
}

test('every repository that is ready is pruned, and one that fails does not stop the others', async () => {
  const world = aWorld(['br-1', 'br-2', 'br-3', 'br-unready'], async (name) => {
    if (name === 'br-2') throw new CorruptionError('RootCorrupt', 'root s3://b/roots/x: cut off')
    return report({ removed: { packs: { objects: 2, bytes: 300 }, index: { objects: 1, bytes: 50 } } })
  })
  assert.is(await world.run(), '2 repositories pruned, 1 failed, 0 left for the next time')
  assert.equal(world.pruned.toSorted(), ['br-1', 'br-2', 'br-3'])
  assert.is(world.condition('br-1')?.status, 'True')
  assert.equal([world.condition('br-2')?.status, world.condition('br-2')?.reason], ['False', 'RootCorrupt'])
  assert.is(world.condition('br-unready'), undefined)
  assert.equal(world.counted.slice(0, 2), [
    ['packs', 2, 300],
    ['index', 1, 50],
  ])
  const events = world.cluster.peekAll('Event').map(({ reason }) => reason)
  assert.equal(events.toSorted(), ['Pruned', 'Pruned', 'RootCorrupt'])
  const [repository] = world.cluster.peekAll('BackupRepository')
  assert.is(repository!['status']?.conditions?.[0]?.type, 'Ready', 'the other conditions stay')
})

test('the condition says what a prune waits for, or had no time for', async () => {
  const world = aWorld(['br-1', 'br-2'], async (name) =>
    name === 'br-1' ? report({ state: 'waiting', waitsFor: ['session-x'] }) : report({ state: 'more' }),
  )
  await world.run()
  assert.is(world.condition('br-1')?.reason, 'SessionsRunning')
  assert.match(world.condition('br-1')?.message ?? '', 'session-x')
  assert.is(world.condition('br-2')?.reason, 'PruneUnfinished')
})

test('each prune reports damaged key slots in a condition, until they are gone', async () => {
  let damagedSlots = ['keys/1', 'keys/2', 'keys/3', 'keys/4', 'keys/5']
  const world = aWorld(['br-1'], async () => report({ damagedSlots }))
  const told = () => world.condition('br-1', 'KeySlotDamaged')
  await world.run()
  assert.equal([told()?.status, told()?.reason], ['True', 'KeySlotDamaged'])
  assert.match(told()?.message ?? '', /^keys\/1, keys\/2, keys\/3, 2 more: /)
  damagedSlots = []
  await world.run()
  assert.equal([told()?.status, told()?.reason], ['False', 'KeySlotsIntact'])
})

test('one Event tells of the sessions that a slice has given up, and one log line, however many they are', async () => {
  for (const [count, message] of [
    [1, 'gave up session s-1: nothing new for long'],
    [2, 'gave up 2 sessions: s-1, s-2: nothing new for long'],
    [20_000, 'gave up 20000 sessions: s-1, s-2, s-3, 19997 more: nothing new for long'],
  ] as const) {
    const fenced = Array.from({ length: count }, (_, index) => `s-${index + 1}`)
    const world = aWorld(['br-1'], async () => report({ fenced, state: 'waiting', waitsFor: fenced }))
    const lines: object[] = []
    world.deps.log.info = (...line: object[]) => void lines.push(line)
    await world.run()
    const events = world.cluster.peekAll('Event')
    assert.equal(
      events.map((event) => [event['reason'], event['message']]),
      [['SessionIdle', message]],
    )
    assert.ok(JSON.stringify(lines).length < 1000)
  }
})

test('two runs at once: the second steps back, and the Lease is free afterwards', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const world = aWorld(['br-1'], async () => {
    await promise
    return report()
  })
  const first = world.run()
  while (world.pruned.length === 0) await new Promise((turn) => setImmediate(turn))
  assert.is(await world.run(), 'another one is at it')
  resolve()
  await first
  assert.is(await world.run(), '1 repositories pruned, 0 failed, 0 left for the next time')
})

for (const [what, isWritten] of [
  ['whose answer was lost', true],
  ['that was not written', false],
] as const) {
  test(`a renewal ${what} costs nothing: the Lease is renewed, and free afterwards`, async () => {
    const clock = new VirtualClock()
    const going = Promise.withResolvers<PruneEnd>()
    const world = aWorld(['br-1'], () => going.promise)
    const patch = world.cluster.patch.bind(world.cluster)
    let renewals = 0
    world.cluster.patch = async (kind, seen, change) => {
      const isFirst = kind === 'Lease' && renewals++ === 0
      if (isFirst && !isWritten) throw new RetryableError('KubernetesUnavailable', 'no answer')
      const written = await patch(kind, seen, change)
      if (isFirst) throw new RetryableError('KubernetesUnavailable', 'the connection broke')
      return written
    }
    world.deps.clock = clock
    const run = world.run()
    const lease = () => world.cluster.peekAll('Lease')[0]
    for (let n = 0; n < 12; n++) {
      for (let turn = 0; turn < 8; turn++) await new Promise((resolve) => setImmediate(resolve))
      assert.is(leaseState(lease(), '', clock.nowMs()), 'held')
      clock.advanceTo(clock.nextMs ?? Number.NaN)
    }
    going.resolve(report())
    await run
    assert.ok(renewals > 5)
    assert.is(leaseState(lease(), '', clock.nowMs()), 'free')
  })
}

test('each repository has its share of the time that is left, and one without time is due in the next round', async () => {
  const world = aWorld(['br-1', 'br-2', 'br-3'], async () => {
    nowMs += 200_000
    return report()
  })
  let nowMs = 0
  const slices: number[] = []
  const prune = world.deps.repositories.prune
  world.deps.repositories.prune = async (access, slice) => {
    slices.push(slice.sliceMs)
    return await prune(access, slice)
  }
  world.deps.clock = { ...systemClock, monotonicMs: () => nowMs }
  assert.is(await world.run(), '2 repositories pruned, 0 failed, 1 left for the next time')
  assert.equal(slices, [100_000, 50_000])
  assert.is(await world.run('go on'), '1 repositories pruned, 0 failed, 0 left for the next time')
  assert.equal(world.pruned.toSorted(), ['br-1', 'br-2', 'br-3'])
  assert.is(slices.at(-1), 300_000)
})

test('an unfinished prune is continued, and the other repositories are not pruned before the next day', async () => {
  let slices = 0
  const world = aWorld(['br-1', 'br-2'], async (name) => {
    if (name === 'br-1') return report()
    const roots = { done: ++slices, total: 3 }
    return report({ state: slices < 3 ? 'more' : 'done', progress: { phase: 'survey', roots, pages: roots } })
  })
  const told = () => {
    const { status, reason, message } = world.condition('br-2', 'Pruning')!
    return [status, reason, message]
  }
  assert.is(await world.run(), '1 repositories pruned, 0 failed, 1 left for the next time')
  const pages = 'map pages of the next one'
  assert.equal(told(), ['True', 'Surveying', `1 of 3 backups are read, and 1 of 3 ${pages}`])
  await world.run('go on')
  assert.equal(told(), ['True', 'Surveying', `2 of 3 backups are read, and 2 of 3 ${pages}`])
  await world.run('go on')
  assert.equal(told().slice(0, 2), ['False', 'PruneEnded'])
  assert.is(world.condition('br-2')?.reason, 'Pruned')
  assert.is(await world.run('go on'), '0 repositories pruned, 0 failed, 0 left for the next time')
  assert.equal(world.pruned.filter((name) => name === 'br-1').length, 1)
})

test('a process that dies in a prune, at any moment, leaves it due; a stopped prune is due as well, and is no failure', async () => {
  const world = aWorld(['br-1'], async () => await new Promise<never>(() => {}))
  void world.run()
  while (world.pruned.length === 0) await new Promise((turn) => setImmediate(turn))
  assert.equal([world.condition('br-1', 'Pruning')?.status, world.condition('br-1')], ['True', undefined])

  const stop = new AbortController()
  const stopped = aWorld(['br-1', 'br-2'], async () => {
    stop.abort(new Error('the function is being stopped'))
    throw stop.signal.reason
  })
  assert.is(await stopped.run('begin', stop.signal), '0 repositories pruned, 0 failed, 2 left for the next time')
  for (const name of ['br-1', 'br-2']) {
    assert.equal([stopped.condition(name, 'Pruning')?.status, stopped.condition(name)], ['True', undefined])
  }
})

test('a store that is away is tried again in a minute, damage is not looked at before the next day', async () => {
  for (const [error, isDue] of [
    [new RetryableError('S3Unavailable', 'away'), 'True'],
    [new CorruptionError('RootCorrupt', 'cut off'), 'False'],
  ] as const) {
    const world = aWorld(['br-1'], async () => {
      throw error
    })
    await world.run()
    assert.equal([world.condition('br-1', 'Pruning')?.status, world.condition('br-1')?.reason], [isDue, error.reason])
  }
})

test('a round that finds another one running leaves its request behind', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const world = aWorld(['br-1', 'br-2'], async () => {
    await promise
    return report()
  })
  const first = world.run()
  while (world.pruned.length === 0) await new Promise((turn) => setImmediate(turn))
  assert.is(await world.run(), 'another one is at it')
  assert.is(world.condition('br-2', 'Pruning')?.status, 'True')
  resolve()
  await first
  assert.is(world.condition('br-2', 'Pruning')?.status, 'False')
})

test('the sweep wakes maintenance for an unfinished prune, once, and not while a prune runs', async () => {
  const world = aWorld(['br-1', 'br-2', 'br-unready'], async () => report({ state: 'more' }))
  const woken: string[] = []
  const wakes = {
    ...world.deps,
    wake: async (step: string, { name }: { name: string }) => void woken.push(`${step} ${name}`),
  }
  assert.is(await wakeForPrunes(wakes), false)
  await world.run()
  assert.is(await wakeForPrunes(wakes), true)
  assert.equal(woken, ['maintenance br-1'])
  const lease = await acquireLease(world.deps, 'dormouse-maintenance', 'another', new AbortController().signal)
  assert.is(await wakeForPrunes(wakes), false)
  await releaseLease(world.deps, lease!)
  assert.is(await wakeForPrunes(wakes), true)
})

test('the sweep leaves a repository that is not ready alone', async () => {
  const world = aWorld(['br-1'], async () => report({ state: 'more' }))
  await world.run()
  const [repository] = world.cluster.peekAll('BackupRepository')
  const conditions = setCondition(
    repository!['status']?.conditions,
    { type: 'Ready', status: 'False', reason: 'x', message: 'x' },
    0,
  )
  await world.cluster.patch('BackupRepository', repository!, { status: { conditions } })
  assert.is(await wakeForPrunes({ ...world.deps, wake: async () => undefined }), false)
})

test('rounds that begin ten minutes apart begin with each repository in turn', () => {
  const all = [...'abcdefghij']
  const firsts = new Set(Array.from({ length: 200 }, (_, round) => startingElsewhere(all, round * 10 * MINUTE_MS)[0]))
  assert.is(firsts.size, 10)
  assert.equal(startingElsewhere(all, 12_345 * MINUTE_MS).toSorted(), all)
  assert.equal(startingElsewhere([], 5), [])
})

test.run()
