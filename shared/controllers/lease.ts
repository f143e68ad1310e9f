// Takes, renews and releases Leases through the Cluster port.

import type { ChangeOf, Lease } from '#shared/api/types.ts'
import { heldLeaseSpec, isSameHold, leaseState, RELEASED_LEASE_SPEC } from '#shared/domain/lease.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import type { StepDeps } from './deps.ts'

type LeaseDeps = Pick<StepDeps, 'cluster' | 'clock' | 'settings'>

/**
 * Returns the Lease, held by `holder`, or undefined if another process holds it. Before a stale Lease is taken, it is watched for its whole
 * duration by the monotonic clock, so a wall clock that jumped cannot create two holders.
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
    // The write below carries the resourceVersion that was read before the wait: any renewal in between makes it fail.
  }
  return await take(deps, lease, holder)
}

/** `lease` is the Lease as `holder` took it or last renewed it. Throws ConflictError if `holder` no longer holds it. */
export async function renewLease(deps: LeaseDeps, lease: Lease, holder: string): Promise<Lease> {
  return await patchOwnLease(deps.cluster, lease, heldChange(deps, holder))
}

/**
 * Patches a Lease that the caller holds. A conflict can have a harmless cause: an earlier patch of the caller whose answer was lost, or an
 * edit by a user. So the function reads the Lease once. If the same holder has held it since the same time, no other process can have taken
 * it meanwhile, because each claim uses a new holder name and tasks record when they began. In that case the patch is repeated. Throws
 * ConflictError if another process, or no process, holds the Lease.
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

/** true: the caller held the Lease until now, so no other process can have begun meanwhile. */
export async function releaseLease(deps: LeaseDeps, lease: Lease): Promise<boolean> {
  try {
    await patchOwnLease(deps.cluster, lease, { spec: RELEASED_LEASE_SPEC })
    return true
  } catch (error) {
    if (error instanceof ConflictError) return false
    throw error
  }
}

/**
 * Deletes the Lease of an object that has ended (the Velero Plugin for vSphere never deletes them). A Lease that another process holds
 * stays.
 */
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
    // Another process held this Lease. If a process has written to it since it was read, that process came first and this patch fails.
    return await deps.cluster.patch('Lease', lease, heldChange(deps, holder))
  } catch (error) {
    if (error instanceof ConflictError) return undefined
    throw error
  }
}

/** The change that takes or renews a Lease. */
export function heldChange({ settings, clock }: LeaseDeps, holder: string): ChangeOf<'Lease'> {
  return { spec: heldLeaseSpec(holder, settings.leaseMs, clock.nowMs()) }
}
