// Claim before work: what was decided on an older version of the object is not begun on a newer one.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { KubeObject } from '#shared/api/kinds.ts'
import { type Clock, systemClock } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { ConflictError, RetryableError } from '#shared/kernel/errors.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import { type Claim, type Claimed, withClaim } from '#shared/steps/claim.ts'
import type { StepDeps } from '#shared/steps/deps.ts'

const KIND = 'CloneFromSnapshot'
const silent = { debug() {}, info() {}, warn() {}, error() {} }

function aWorld(): { deps: StepDeps; cluster: MemoryCluster; seen: KubeObject } {
  const cluster = new MemoryCluster({ clock: systemClock })
  const deps: StepDeps = { cluster, clock: systemClock, settings: readSettings({}), identity: 'pod-1', log: silent }
  const seen = cluster.seed(KIND, {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: KIND,
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
  return { deps, cluster, seen }
}

async function claimIt(
  { deps, seen }: ReturnType<typeof aWorld>,
  work: (claim: Claim) => Promise<string>,
): Promise<Claimed<string>> {
  const options = {
    kind: KIND,
    object: seen,
    firstPatch: { metadata: { labels: { 'dormouse.dev/step': 'running' } } },
    isCancelled: () => false,
    signal: new AbortController().signal,
  } as const
  return await withClaim(deps, options, work)
}

function leaseHolder(cluster: MemoryCluster): unknown {
  return cluster.peekAll('Lease')[0]?.['spec'].holderIdentity
}

test('what has ended since it was read is not begun again, and the Lease is let go', async () => {
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
  assert.is(now?.['status'].phase, 'Failed')
  assert.is(now?.metadata.labels?.['dormouse.dev/step'], undefined)
  assert.is(leaseHolder(world.cluster) ?? undefined, undefined)
})

test('an edit by someone else while the work runs costs no progress', async () => {
  const world = aWorld()
  const claimed = await claimIt(world, async (claim) => {
    await world.cluster.patch(KIND, claim.latest(), { metadata: { annotations: { note: 'mine' } } })
    await claim.patchStatus({ message: 'half done' })
    return 'done'
  })
  assert.not(claimed.held)
  const now = world.cluster.peek(KIND, 'shop', 'clone-1')
  assert.is(now?.['status'].message, 'half done')
  assert.is(now?.metadata.annotations?.['note'], 'mine')
})

/** As if the holder had been paused for longer than its Lease. */
async function passLeaseOn({ cluster }: ReturnType<typeof aWorld>): Promise<void> {
  const [lease] = cluster.peekAll('Lease')
  assert.ok(lease)
  await cluster.patch('Lease', lease, { spec: { holderIdentity: 'pod-2/x' } })
}

test('work whose Lease passed on unseen counts for nothing, and the new holder keeps it', async () => {
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

test('who lost the Lease does not write over what the next holder wrote', async () => {
  const world = aWorld()
  const work = async (claim: Claim) => {
    await passLeaseOn(world)
    await world.cluster.patchStatus(KIND, claim.latest(), { phase: 'Failed' })
    await claim.patchStatus({ phase: 'InProgress' })
    return 'done'
  }
  const lost = await claimIt(world, work).catch((error: unknown) => error)
  assert.is((lost as RetryableError).reason, 'LeaseLost')
  assert.is(world.cluster.peek(KIND, 'shop', 'clone-1')?.['status'].phase, 'Failed')
})

/** Its first pause is over at once, every other one lasts until it is cut off: the holder looks at its object once. */
function oneLook(): Clock {
  let looks = 0
  const forEver = (signal?: AbortSignal) =>
    new Promise<void>((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
  return { ...systemClock, sleep: (_ms, signal) => (looks++ === 0 ? Promise.resolve() : forEver(signal)) }
}

test('who was paused while it looked at its object does not go on from what the next holder wrote', async () => {
  const world = aWorld()
  let looked = (): void => {}
  const look = new Promise<void>((resolve) => (looked = resolve))
  const pausedRead: Cluster['read'] = async (kind, namespace, name) => {
    if (kind === KIND) {
      await passLeaseOn(world)
      const now = world.cluster.peek(KIND, 'shop', 'clone-1') as KubeObject
      await world.cluster.patchStatus(KIND, now, { volumeName: "the next holder's" })
      setImmediate(looked)
    }
    return await world.cluster.read(kind, namespace, name)
  }
  const cluster = new Proxy<Cluster>(world.cluster, {
    get: (target, member: keyof Cluster) => (member === 'read' ? pausedRead : target[member].bind(target)),
  })
  const deps = { ...world.deps, cluster, clock: oneLook() }
  const work = async (claim: Claim) => {
    await look
    await claim.patchStatus({ volumeName: "the old holder's" })
    return 'done'
  }
  const lost = await claimIt({ ...world, deps }, work).catch((error: unknown) => error)
  assert.is((lost as RetryableError).reason, 'LeaseLost')
  assert.is(world.cluster.peek(KIND, 'shop', 'clone-1')?.['status'].volumeName, "the next holder's")
})

test('a beginning is a write also when the label stands already, so that a late end of the one before fails', async () => {
  const world = aWorld()
  await claimIt(world, async () => 'the one before')
  const before = world.cluster.peek(KIND, 'shop', 'clone-1')
  assert.ok(before)
  await claimIt({ ...world, seen: before }, async () => 'the next')
  const late = await world.cluster.patchStatus(KIND, before, { phase: 'Failed' }).catch((error: unknown) => error)
  assert.instance(late, ConflictError)
})

test.run()
