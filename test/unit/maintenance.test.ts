import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { Condition } from '#shared/api/kinds.ts'
import { inTurn } from '#shared/domain/maintenance.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { CorruptionError } from '#shared/kernel/errors.ts'
import { DAY_MS } from '#shared/kernel/units.ts'
import type { PruneReport, PruneSlice, Repositories, RepositoryAccess } from '#shared/ports/mover.ts'
import { maintain } from '../../functions/maintenance/handler.ts'

const test = suite('maintenance')

const report = (change: Partial<PruneReport> = {}): PruneReport => ({
  state: 'done',
  waitsFor: [],
  fenced: [],
  removed: {},
  kept: { objects: 0, bytes: 0 },
  progress: { phase: 'tidy' },
  ...change,
})

/** Repositories `br-1`, … that are ready unless their name says otherwise. */
function aWorld(names: string[], prune: (name: string, slice: PruneSlice) => Promise<PruneReport>) {
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
    clock: systemClock,
    settings: readSettings({}),
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
  const condition = (name: string): Condition | undefined =>
    cluster
      .peekAll('BackupRepository')
      .find(({ metadata }) => metadata.name === name)
      ?.['status'].conditions.find(({ type }: Condition) => type === 'Pruned')
  return { cluster, deps, counted, pruned, condition, run: () => maintain(deps, new AbortController().signal) }
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
  assert.is(repository!['status'].conditions[0].type, 'Ready', 'the other conditions stay')
})

test('what a prune waits for, or had no time for, is told in the condition', async () => {
  const world = aWorld(['br-1', 'br-2'], async (name) =>
    name === 'br-1' ? report({ state: 'waiting', waitsFor: ['session-x'] }) : report({ state: 'more' }),
  )
  await world.run()
  assert.is(world.condition('br-1')?.reason, 'SessionsRunning')
  assert.match(world.condition('br-1')?.message ?? '', 'session-x')
  assert.is(world.condition('br-2')?.reason, 'PruneUnfinished')
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

test('a repository has the time that is left, and one without time is left for the next run', async () => {
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
  const deps = { ...world.deps, clock: { ...systemClock, monotonicMs: () => nowMs } }
  assert.is(
    await maintain(deps, new AbortController().signal),
    '2 repositories pruned, 0 failed, 1 left for the next time',
  )
  assert.equal(slices, [300_000, 100_000])
})

test('each day another repository comes first', () => {
  assert.equal(
    [0, 1, 2, 3].map((day) => inTurn(['a', 'b', 'c'], day * DAY_MS + 5).join('')),
    ['abc', 'bca', 'cab', 'abc'],
  )
  assert.equal(inTurn([], 5), [])
})

test.run()
