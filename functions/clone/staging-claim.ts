// Finds the staging claim by the clone's UID, and deletes it and waits until it is gone.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { CloneFromSnapshot, PersistentVolumeClaim } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { pollUntil } from '#shared/controllers/poll.ts'
import type { WorkLease } from '#shared/controllers/work-lease.ts'
import { isOwnClaim, stagingClaimName } from '#shared/domain/staging.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { stagingNamespaces } from './staging-place.ts'

export async function readStaging(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  stood?: string,
): Promise<PersistentVolumeClaim | undefined> {
  return (await readAllStaging(deps, clone, stood))[0]
}

/**
 * Normally there is one. A run that was paused for longer than its Lease may have made another in the other namespace. `stood` is the
 * namespace that the Download records; it is searched even if a tenant has removed the clone's annotation.
 */
export async function readAllStaging(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  stood?: string,
): Promise<PersistentVolumeClaim[]> {
  const found: PersistentVolumeClaim[] = []
  const places = [...stagingNamespaces(deps, clone), ...(stood === undefined ? [] : [stood])]
  for (const namespace of new Set(places)) {
    const staging = await deps.cluster.read('PersistentVolumeClaim', namespace, stagingClaimName(clone))
    if (staging !== undefined && isOwnClaim(staging, clone)) found.push(staging)
  }
  return found
}

/** Deletes the staging claim and waits until it is gone. Its volume, set to Retain, then belongs to no claim. */
export async function dropStaging(
  deps: StepDeps,
  lease: WorkLease<'CloneFromSnapshot'>,
  stood: string | undefined,
): Promise<void> {
  const all = await readAllStaging(deps, lease.latest(), stood)
  for (const staging of all) await deps.cluster.delete('PersistentVolumeClaim', staging)
  if (all.length > 0) await awaitStagingGone(deps, lease.latest(), lease, stood)
}

/** Kubernetes keeps a deleted claim while a Pod uses it. Throws RetryableError `StagingClaimStays`. */
export async function awaitStagingGone(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  until: Pick<WorkLease, 'signal'>,
  stood?: string,
): Promise<void> {
  let there: PersistentVolumeClaim | undefined
  const isGone = async () => {
    there = await readStaging(deps, clone, stood)
    return there === undefined
  }
  if (!(await pollUntil(deps, until, isGone)) && there !== undefined) throw stagingStays(there)
}

export function stagingStays({ metadata: { namespace, name } }: KubeObject): RetryableError {
  return new RetryableError(
    'StagingClaimStays',
    `staging claim ${namespace}/${name} is not gone yet: does a Pod use it?`,
  )
}
