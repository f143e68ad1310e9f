// The real maintenance function over the real engine and a large repository, with its daily schedule and the sweep of each minute.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { Condition } from '#shared/api/kinds.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import type { RepositoryAccess } from '#shared/ports/mover.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { createRepositories } from '#shared/repository/repositories.ts'
import { requireS3 } from '#shared/repository/stores/s3/settings.ts'
import { access, CHEAP_SCRYPT } from '#test/support/engine-world.ts'
import { copyOf, longRepository } from '#test/support/long-repository.ts'
import { keysOf, restores } from '#test/support/prune-world.ts'
import { bucketSettings, stores } from '#test/support/stores.ts'
import { CallClock, TickingStore } from '#test/support/ticking-store.ts'
import { maintain } from '../../functions/maintenance/handler.ts'
import { wakeForPrunes } from '../../functions/sweep/prunes.ts'

const test = suite('maintenance in slices')

const SLICE_CALLS = 80
const ground = longRepository(14)

/** `large` is one of two repositories; `killAfter` returns after how many calls to the store a round's process is killed. */
async function aWorld(killAfter: () => number) {
  const long = copyOf(await ground)
  const small = copyOf(await longRepository(1, [], 2))
  const clock = new CallClock()
  const cluster = new MemoryCluster({ clock })
  for (const name of ['large', 'small']) {
    const ready = {
      type: 'Ready',
      status: 'True',
      reason: 'x',
      message: 'x',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    }
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
  const conditions = (name: string): Condition[] =>
    cluster.peekAll('BackupRepository').find(({ metadata }) => metadata.name === name)?.['status']?.conditions ?? []
  const condition = (name: string, type: string) => conditions(name).find((each) => each.type === type)
  /** One request to a fresh process. A killed process has no effect any more. */
  async function round(occasion: 'begin' | 'go on'): Promise<'killed' | 'ended'> {
    let left = killAfter()
    const killed = Promise.withResolvers<'killed'>()
    const gone = () => new Promise<never>(() => {})
    const storeOf = ({ store }: RepositoryAccess): ObjectStore =>
      new TickingStore(requireS3(store).bucket === 'large' ? long.store : small.store, () => {
        clock.tick()
        if (--left < 0) killed.resolve('killed')
        if (left < 0) throw new Error('killed')
      })
    const deps = {
      cluster: new Proxy(cluster, {
        get: (target, name) => (left < 0 ? gone : Reflect.get(target, name).bind(target)),
      }),
      clock: { nowMs: () => clock.nowMs(), monotonicMs: () => clock.monotonicMs(), sleep: sleepless },
      settings: { ...readSettings({}), sliceMs: SLICE_CALLS },
      stores,
      identity: 'pod',
      log: { debug() {}, info() {}, warn() {}, error() {} },
      access: async (name: string) => ({ ...access, store: { ...bucketSettings, bucket: name } }),
      repositories: createRepositories({ storeOf, clock, scrypt: CHEAP_SCRYPT, sourceOf: blockSourceOf }),
      count: () => undefined,
    }
    const working = maintain(deps, new AbortController().signal, occasion).then(() => 'ended' as const)
    const end = await Promise.race([working, killed.promise])
    if (end === 'killed') await removeLease()
    return end
  }
  /** Does what the sweep does with a stale Lease. */
  async function removeLease(): Promise<void> {
    for (const lease of cluster.peekAll('Lease')) await cluster.delete('Lease', lease)
  }
  return { long, cluster, clock, condition, round }
}

/** No repository is due within the time of a round. */
const sleepless = (_ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason), { once: true }))

test('a prune of ten slices ends after one tick of the schedule, and its condition says how far it is', async () => {
  const { long, condition, round, cluster, clock } = await aWorld(() => Number.POSITIVE_INFINITY)
  assert.is(await round('begin'), 'ended')
  assert.is(condition('small', 'Pruned')?.status, 'True', 'the small one beside it has its share')
  const told: string[] = []
  let woken = 0
  const wakes = { cluster, clock, settings: readSettings({}), wake: async () => void woken++ }
  while (await wakeForPrunes(wakes)) {
    const pruning = condition('large', 'Pruning')!
    told.push(`${pruning.reason}: ${pruning.message}`)
    assert.is(condition('large', 'Pruned')?.reason, 'PruneUnfinished')
    await round('go on')
    assert.ok(told.length < 40, told.at(-1))
  }
  assert.ok(told.filter((line) => line.startsWith('Surveying')).length >= 8, told.join('\n'))
  assert.is(new Set(told).size, told.length, 'each slice is further than the one before')
  assert.equal([condition('large', 'Pruned')?.status, condition('large', 'Pruning')?.reason], ['True', 'PruneEnded'])
  assert.equal(await unreachableObjects(long.repository), [])
  assert.is(woken, told.length)
})

test('it survives being killed in each slice: the sweep goes on with it, and nothing is lost', async () => {
  let slices = 0
  // Later and later in the slice, and sometimes not at all.
  const killAfter = () => (++slices % 5 === 0 ? Number.POSITIVE_INFINITY : 40 + ((slices * 7) % 50))
  const { long, condition, round, cluster, clock } = await aWorld(killAfter)
  let killed = (await round('begin')) === 'killed' ? 1 : 0
  const wakes = { cluster, clock, settings: readSettings({}), wake: async () => undefined }
  for (let n = 0; await wakeForPrunes(wakes); n++) {
    assert.ok(n < 80, condition('large', 'Pruning')?.message)
    if ((await round('go on')) === 'killed') killed++
  }
  assert.ok(killed >= 10, `${killed} were killed`)
  for (const name of ['large', 'small']) assert.is(condition(name, 'Pruned')?.status, 'True', name)
  const left = (await unreachableObjects(long.repository)).filter((key) => !key.startsWith('probe/'))
  assert.equal(left, [])
  const doomed = (await unreachableObjects((await ground).repository)).sort()
  assert.equal(
    keysOf((await ground).store).filter((key) => !long.objects.has(key)),
    doomed,
  )
  for (const [root, content] of long.contents) assert.ok(await restores(long.world, root, content), root)
})

test.run()
