// Taking, renewing and letting go of a Lease over the Cluster port.

import type { ChangeOf, Lease } from '#shared/api/types.ts'
import { heldLeaseSpec, isSameHold, leaseState, RELEASED_LEASE_SPEC } from '#shared/domain/lease.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import type { StepDeps } from './deps.ts'

type LeaseDeps = Pick<StepDeps, 'cluster' | 'clock' | 'settings'>

/**
 * The Lease, held by `holder`; undefined: someone else has it. A stale one is watched for its whole duration by the monotonic
 * clock before it is taken, so a clock that jumped cannot make two holders.
 */
export async function acquireLease(
  deps: LeaseDeps,
  name: string,
  holder: string,
  signal: AbortSignal,
): Promise<Lease | undefined> {
  const namespace = deps.settings.veleroNamespace
  const lease = await deps.cluster.read('Lease', namespace, name)
  const state = leaseState(lease, holder, deps.clock.nowMs())
  if (state === 'held') return undefined
  if (lease === undefined) return await createLease(deps, name, holder)
  if (state === 'stale') {
    await deps.clock.sleep(1000 * Number(lease.spec?.leaseDurationSeconds ?? 0), signal)
    // The write below carries the resourceVersion seen before the wait: any renewal in between makes it fail.
  }
  return await take(deps, lease, holder)
}

/** `lease`: as `holder` took it or renewed it last. ConflictError: it is `holder`'s no more. */
export async function renewLease(deps: LeaseDeps, lease: Lease, holder: string): Promise<Lease> {
  return await patchOwnLease(deps.cluster, lease, heldChange(deps, holder))
}

/**
 * A change by the holder whose `lease` this is. A conflict may come from a change of its own whose answer was lost, or from somebody's edit,
 * so it looks once: still held by the same holder since the same time, nobody else can have begun meanwhile, as holders are named anew for
 * each claim, and tasks write when they began. ConflictError: another one's, or nobody's.
 */
export async function patchOwnLease(cluster: Cluster, lease: Lease, change: ChangeOf<'Lease'>): Promise<Lease> {
  try {
    return await cluster.patch('Lease', lease, change)
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    const now = await cluster.read('Lease', lease.metadata.namespace, lease.metadata.name)
    if (now === undefined || !isSameHold(lease, now)) throw error
    return await cluster.patch('Lease', now, change)
  }
}

/** true: it was this holder's until now, so nobody else can have begun meanwhile. */
export async function releaseLease(deps: LeaseDeps, lease: Lease): Promise<boolean> {
  try {
    await patchOwnLease(deps.cluster, lease, { spec: RELEASED_LEASE_SPEC })
    return true
  } catch (error) {
    if (error instanceof ConflictError) return false
    throw error
  }
}

/** The object is over: its Lease goes too (the Velero Plugin for vSphere leaves them for ever). Held by another: it stays. */
export async function removeLease(deps: LeaseDeps, name: string): Promise<void> {
  const lease = await deps.cluster.read('Lease', deps.settings.veleroNamespace, name)
  if (lease === undefined || leaseState(lease, '', deps.clock.nowMs()) === 'held') return
  await deps.cluster.delete('Lease', lease)
}

async function createLease(deps: LeaseDeps, name: string, holder: string): Promise<Lease | undefined> {
  try {
    return await deps.cluster.create('Lease', {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace: deps.settings.veleroNamespace, labels: { 'app.kubernetes.io/part-of': 'dormouse' } },
      spec: heldLeaseSpec(holder, deps.settings.leaseMs, deps.clock.nowMs()),
    })
  } catch (error) {
    if (error instanceof ConflictError) return undefined
    throw error
  }
}

async function take(deps: LeaseDeps, lease: Lease, holder: string): Promise<Lease | undefined> {
  try {
    // Another one's until now: whoever wrote to it since was first.
    return await deps.cluster.patch('Lease', lease, heldChange(deps, holder))
  } catch (error) {
    if (error instanceof ConflictError) return undefined
    throw error
  }
}

/** What a holder writes to take a Lease, and to renew it. */
export function heldChange({ settings, clock }: LeaseDeps, holder: string): ChangeOf<'Lease'> {
  return { spec: heldLeaseSpec(holder, settings.leaseMs, clock.nowMs()) }
}
