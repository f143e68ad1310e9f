// A work lease is taken before work: what was decided on an older version of the object is not begun on a newer one.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { KINDS } from '#shared/api/kinds.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'

import { keepStatus, type Leased, type WorkLease, withWorkLease } from '#shared/controllers/work-lease.ts'
import { leaseEndMs } from '#shared/domain/lease.ts'
import { API_CALL_MS } from '#shared/kernel/call-limits.ts'
import { type Clock, systemClock } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { ConflictError, RetryableError } from '#shared/kernel/errors.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { stores } from '#test/support/stores.ts'
import { VirtualClock } from '../simulation/clock.ts'

const KIND = 'CloneFromSnapshot'
const silent = { debug() {}, info() {}, warn() {}, error() {} }

type Kind = 'CloneFromSnapshot' | 'Upload'

function aWorld(kind: Kind = KIND): { kind: Kind; deps: StepDeps; cluster: MemoryCluster; seen: LooseObject } {
  const cluster = new MemoryCluster({ clock: systemClock })
  const deps: StepDeps = {
    cluster,
    clock: systemClock,
    settings: readSettings({}),
    stores,
    identity: 'pod-1',
    log: silent,
  }
  const seen = cluster.seed(kind, {
    apiVersion: KINDS[kind].apiVersion,
    kind,
    metadata: { name: 'clone-1', namespace: 'shop' },
    spec: {
      snapshotID: 'ivd:a:b',
      apiGroup: '',
      kind: 'PersistentVolumeClaim',
      backupRepository: 'br',
      cloneCancel: false,
    },
    status: { phase: 'InProgress' },
  })
  return { kind, deps, cluster, seen }
}

async function claimIt(
  { kind, deps, seen }: ReturnType<typeof aWorld>,
  work: (lease: WorkLease<Kind>) => Promise<string>,
): Promise<Leased<string, Kind>> {
  const options = {
    kind,
    object: seen,
    firstPatch: { metadata: { labels: { 'dormouse.dev/step': 'running' } } },
    isCancelled: () => false,
    signal: new AbortController().signal,
  } as const
  return await withWorkLease(deps, options, work)
}

function leaseHolder(cluster: MemoryCluster): unknown {
  return cluster.peekAll('Lease')[0]?.['spec']?.holderIdentity
}

test('work that has ended since its object was read is not begun again, and the Lease is released', async () => {
  const world = aWorld()
  await world.cluster.patchStatus(KIND, world.seen, { phase: 'Failed' })
  let began = false
  const work = async () => {
    began = true
    return 'done'
  }
  const refused = await claimIt(world, work).catch((error: unknown) => error)
  assert.instance(refused, ConflictError)
  assert.not(began)
  const now = world.cluster.peek(KIND, 'shop', 'clone-1')
  assert.is(now?.['status']?.phase, 'Failed')
  assert.is(now?.metadata.labels?.['dormouse.dev/step'], undefined)
  assert.is(leaseHolder(world.cluster) ?? undefined, undefined)
})

test('an edit by someone else while the work runs costs no progress', async () => {
  const world = aWorld()
  const claimed = await claimIt(world, async (lease) => {
    await world.cluster.patch(KIND, lease.latest() as LooseObject, { metadata: { annotations: { note: 'mine' } } })
    await lease.patchStatus({ message: 'half done' })
    return 'done'
  })
  assert.not(claimed.held)
  const now = world.cluster.peek(KIND, 'shop', 'clone-1')
  assert.is(now?.['status']?.message, 'half done')
  assert.is(now?.metadata.annotations?.['note'], 'mine')
})

/** Passes the Lease on, as if its holder had been paused for longer than its length. */
async function passLeaseOn({ cluster }: ReturnType<typeof aWorld>): Promise<void> {
  const [lease] = cluster.peekAll('Lease')
  assert.ok(lease)
  await cluster.patch('Lease', lease, { spec: { holderIdentity: 'pod-2/x' } })
}

test('the result of work whose Lease has passed on does not count, and the new holder keeps the Lease', async () => {
  const world = aWorld()
  const work = async () => {
    await passLeaseOn(world)
    return 'done'
  }
  const lost = await claimIt(world, work).catch((error: unknown) => error)
  assert.instance(lost, RetryableError)
  assert.is((lost as RetryableError).reason, 'LeaseLost')
  assert.is(leaseHolder(world.cluster), 'pod-2/x')
})

test('a holder that lost the Lease does not overwrite what the next holder wrote', async () => {
  const world = aWorld()
  const work = async (lease: WorkLease<Kind>) => {
    await passLeaseOn(world)
    await world.cluster.patchStatus(KIND, lease.latest() as LooseObject, { phase: 'Failed' })
    await lease.patchStatus({ phase: 'InProgress' })
    return 'done'
  }
  const lost = await claimIt(world, work).catch((error: unknown) => error)
  assert.is((lost as RetryableError).reason, 'LeaseLost')
  assert.is(world.cluster.peek(KIND, 'shop', 'clone-1')?.['status']?.phase, 'Failed')
})

/** The first sleep ends at once, every other one lasts until it is cut off: so the holder reads its object once. */
function oneLook(): Clock {
  let looks = 0
  const forEver = (signal?: AbortSignal) =>
    new Promise<void>((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
  return { ...systemClock, sleep: (_ms, signal) => (looks++ === 0 ? Promise.resolve() : forEver(signal)) }
}

test('a holder that was paused while it read its object does not continue from what the next holder wrote', async () => {
  const world = aWorld()
  let looked = (): void => {}
  const look = new Promise<void>((resolve) => (looked = resolve))
  const pausedRead: Cluster['read'] = async (kind, namespace, name) => {
    if (kind === KIND) {
      await passLeaseOn(world)
      const now = world.cluster.peek(KIND, 'shop', 'clone-1') as LooseObject
      await world.cluster.patchStatus(KIND, now, { volumeName: "the next holder's" })
      setImmediate(looked)
    }
    return await world.cluster.read(kind, namespace, name)
  }
  const cluster = new Proxy<Cluster>(world.cluster, {
    get: (target, member: keyof Cluster) => (member === 'read' ? pausedRead : target[member].bind(target)),
  })
  const deps = { ...world.deps, cluster, clock: oneLook() }
  const work = async (lease: WorkLease<Kind>) => {
    await look
    await lease.patchStatus({ volumeName: "the old holder's" })
    return 'done'
  }
  const lost = await claimIt({ ...world, deps }, work).catch((error: unknown) => error)
  assert.is((lost as RetryableError).reason, 'LeaseLost')
  assert.is(world.cluster.peek(KIND, 'shop', 'clone-1')?.['status']?.volumeName, "the next holder's")
})

test('beginning work is a write even if the label is set already, so that a late end of the previous holder fails', async () => {
  const world = aWorld()
  await claimIt(world, async () => 'the one before')
  const before = world.cluster.peek(KIND, 'shop', 'clone-1')
  assert.ok(before)
  await claimIt({ ...world, seen: before }, async () => 'the next')
  const late = await world.cluster.patchStatus(KIND, before, { phase: 'Failed' }).catch((error: unknown) => error)
  assert.instance(late, ConflictError)
})

/** Patches of the object take until `pass` is called, once for each. */
function slowPatches({ cluster, deps }: ReturnType<typeof aWorld>) {
  const waiting: (() => void)[] = []
  const slow: Cluster['patch'] = async (kind, seen, change) => {
    if (kind === 'Upload' && 'status' in change) await new Promise<void>((resolve) => waiting.push(resolve))
    return await cluster.patch(kind, seen, change)
  }
  const slowed = new Proxy<Cluster>(cluster, {
    get: (target, member: keyof Cluster) => (member === 'patch' ? slow : target[member].bind(target)),
  })
  const pass = async () => {
    while (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 1).unref())
    waiting.shift()?.()
  }
  return { deps: { ...deps, cluster: slowed }, pass, underWay: () => waiting.length }
}

test('reports are written one at a time, the newest next, and the Lease is held until the last has come', async () => {
  const world = aWorld('Upload')
  const { deps, pass, underWay } = slowPatches(world)
  const work = async (lease: WorkLease<Kind>) => {
    for (const message of ['1', '2', '3', '4']) lease.report({ status: { message } })
    return 'done'
  }
  const claimed = claimIt({ ...world, deps }, work)
  while (underWay() === 0) await new Promise((resolve) => setImmediate(resolve))
  assert.equal([underWay(), leaseHolder(world.cluster) !== undefined], [1, true])
  await pass()
  assert.not((await claimed).held, 'a late report is no loss of the Lease')
  assert.is(world.cluster.peek('Upload', 'shop', 'clone-1')?.['status']?.message, '1', 'what waited is for nobody')
})

test('an outcome is written after the report that is under way, and overwrites it', async () => {
  const world = aWorld('Upload')
  const { deps, pass } = slowPatches(world)
  const result = { outcome: { status: { message: 'outcome' }, step: 'upload' }, why: 'more' } as const
  const work = async (lease: WorkLease<Kind>) => {
    lease.report({ status: { message: 'report' } })
    const kept = await keepStatus(lease, result.outcome)
    assert.equal(kept.status, {}, 'only the label is left to be written')
    assert.ok(leaseHolder(world.cluster), 'under the Lease')
    return result.why
  }
  const claimed = claimIt({ ...world, deps }, work)
  void pass().then(pass)
  assert.not((await claimed).held)
  assert.is(world.cluster.peek('Upload', 'shop', 'clone-1')?.['status']?.message, 'outcome')
})

test('an edit by someone else beside the outcome costs nothing; a new holder keeps what it wrote', async () => {
  const result = { outcome: { status: { message: 'outcome' }, step: 'upload' }, why: 'more' } as const
  const edited = aWorld('Upload')
  await claimIt(edited, async (lease) => {
    await edited.cluster.patch('Upload', lease.latest() as LooseObject, { metadata: { annotations: { note: 'mine' } } })
    await keepStatus(lease, result.outcome)
    return result.why
  })
  const now = edited.cluster.peek('Upload', 'shop', 'clone-1')
  assert.equal([now?.['status']?.message, now?.metadata.annotations?.['note']], ['outcome', 'mine'])
  const passed = aWorld('Upload')
  const lost = await claimIt(passed, async (lease) => {
    await passLeaseOn(passed)
    await passed.cluster.patch('Upload', lease.latest() as LooseObject, { metadata: { annotations: { note: 'next' } } })
    await keepStatus(lease, result.outcome)
    return result.why
  }).catch((error: unknown) => error)
  assert.is((lost as RetryableError).reason, 'LeaseLost')
  assert.is(passed.cluster.peek('Upload', 'shop', 'clone-1')?.['status']?.message, undefined)
})

async function pass(clock: VirtualClock, ms: number): Promise<void> {
  const endMs = clock.nowMs() + ms
  for (;;) {
    for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve))
    const next = clock.nextMs
    if (next === undefined || next > endMs) return
    clock.advanceTo(next)
  }
}

/**
 * Calls for which `isAway` is true get no answer, and are given up after API_CALL_MS. `isDone`: they are carried out, then the connection
 * breaks.
 */
function answeringOnly(
  { cluster, deps }: ReturnType<typeof aWorld>,
  clock: VirtualClock,
  isAway: (member: string, kind: unknown) => boolean,
  isDone = false,
): StepDeps {
  const partly = new Proxy<Cluster>(cluster, {
    get: (target, name) => {
      const call = Reflect.get(target, name)
      if (typeof call !== 'function') return call
      return async (...args: unknown[]) => {
        const [of] = args as [LooseObject | string]
        if (!isAway(String(name), of)) return await call.apply(target, args)
        if (isDone) await call.apply(target, args)
        else await clock.sleep(API_CALL_MS)
        throw new RetryableError('KubernetesUnavailable', `${String(name)}: no answer`)
      }
    },
  })
  return { ...deps, clock, cluster: partly }
}

/** Holds the Lease for ten times its length; `lostMs`: when it was lost, infinite if it was not. */
async function holdLong(
  world: ReturnType<typeof aWorld>,
  clock: VirtualClock,
  begin: (lease: WorkLease<Kind>) => void,
) {
  const { leaseMs } = world.deps.settings
  const work = Promise.withResolvers<string>()
  let lostMs = Number.POSITIVE_INFINITY
  const claimed = claimIt(world, async (lease) => {
    lease.lost.addEventListener('abort', () => {
      lostMs = clock.monotonicMs()
      work.reject(new Error('killed'))
    })
    begin(lease)
    return await work.promise
  }).catch((error: unknown) => error)
  await pass(clock, 10 * leaseMs)
  return { lostMs, claimed, end: () => work.resolve('done') }
}

test('a holder whose renewals get no answer stops after two thirds of the Lease, before another holder can begin', async () => {
  const clock = new VirtualClock()
  const world = aWorld()
  let isAway = false
  world.deps = answeringOnly(world, clock, () => isAway)
  const { lostMs, claimed } = await holdLong(world, clock, () => {
    isAway = true
  })
  assert.is(lostMs, (2 / 3) * world.deps.settings.leaseMs)
  isAway = false
  await pass(clock, 10 * world.deps.settings.leaseMs)
  await claimed
})

for (const [what, member] of [
  ['looks at the object', 'read'],
  ['progress', 'patch'],
] as const) {
  test(`a holder that gets no answer to ${what} continues to renew its Lease, and reads its object once at a time`, async () => {
    const clock = new VirtualClock()
    const world = aWorld()
    const { leaseMs } = world.deps.settings
    let isAway = false
    let looks = 0
    const renewedMs: number[] = []
    world.deps = answeringOnly(world, clock, (name, kind) => {
      if (kind === 'Lease' && name === 'patch') renewedMs.push(clock.monotonicMs())
      if (kind === KIND && name === 'read') looks++
      return isAway && kind === KIND && name === member
    })
    const { lostMs, claimed, end } = await holdLong(world, clock, (lease) => {
      isAway = true
      if (member === 'patch')
        for (let n = 0; n < 30; n++) lease.patch({ status: { message: `${n}` } }).catch(() => undefined)
    })
    assert.is(lostMs, Number.POSITIVE_INFINITY)
    const gapsMs = renewedMs.map((ms, n) => ms - (renewedMs[n - 1] ?? 0))
    assert.ok(gapsMs.length > 10 && Math.max(...gapsMs) <= leaseMs / 3, `renewed at ${renewedMs}`)
    isAway = false
    // The calls that waited behind the pending one come now, at once.
    await pass(clock, API_CALL_MS)
    assert.ok(looks <= 5 + (member === 'read' ? (10 * leaseMs) / API_CALL_MS : 0), `${looks} looks`)
    end()
    assert.not(((await claimed) as Leased<string, Kind>).held)
  })
}

test('a renewal that was written and whose answer was lost costs nothing: the Lease is held, renewed and released', async () => {
  const clock = new VirtualClock()
  const world = aWorld()
  let answersLost = 0
  world.deps = answeringOnly(
    world,
    clock,
    (name, kind) => name === 'patch' && kind === 'Lease' && answersLost++ % 3 === 0,
    true,
  )
  const { lostMs, claimed, end } = await holdLong(world, clock, () => {})
  assert.is(lostMs, Number.POSITIVE_INFINITY)
  assert.ok(answersLost > 3)
  assert.ok(leaseEndMs(world.cluster.peekAll('Lease')[0]) > clock.nowMs(), 'renewed')
  answersLost = 1
  end()
  assert.not(((await claimed) as Leased<string, Kind>).held)
  assert.is(leaseHolder(world.cluster) ?? undefined, undefined, 'let go')
})

test('a renewal that finds another holder means that the Lease is lost, at once, and does not take it back', async () => {
  const clock = new VirtualClock()
  const world = aWorld()
  world.deps = { ...world.deps, clock }
  const { lostMs, claimed } = await holdLong(world, clock, () => void passLeaseOn(world))
  assert.is(lostMs, 5000)
  await claimed
  assert.is(leaseHolder(world.cluster), 'pod-2/x')
})

test.run()
