// The staging claim: found by the clone's UID, and seen off until it is gone.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isOwnClaim, stagingClaimName } from '#shared/domain/staging.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { Claim } from '#shared/steps/claim.ts'
import type { StepDeps } from '#shared/steps/deps.ts'
import { lookUntil } from '#shared/steps/look.ts'

export async function readStaging(deps: StepDeps, clone: KubeObject): Promise<KubeObject | undefined> {
  const staging = await deps.cluster.read('PersistentVolumeClaim', clone.metadata.namespace, stagingClaimName(clone))
  return staging !== undefined && isOwnClaim(staging, clone) ? staging : undefined
}

/** Deletes the staging claim and waits until it is gone: its volume, set to Retain, is nobody's then. */
export async function dropStaging(deps: StepDeps, claim: Claim): Promise<void> {
  const staging = await readStaging(deps, claim.latest())
  if (staging === undefined) return
  await deps.cluster.delete('PersistentVolumeClaim', staging)
  await awaitStagingGone(deps, claim.latest(), claim)
}

/** Deleted is not gone: Kubernetes keeps a claim for as long as a Pod uses it. RetryableError `StagingClaimStays`. */
export async function awaitStagingGone(deps: StepDeps, clone: KubeObject, until: Pick<Claim, 'signal'>): Promise<void> {
  if (await lookUntil(deps, until, async () => (await readStaging(deps, clone)) === undefined)) return
  throw stagingStays(clone)
}

export function stagingStays(clone: KubeObject): RetryableError {
  return new RetryableError(
    'StagingClaimStays',
    `staging claim ${clone.metadata.namespace}/${stagingClaimName(clone)} is not gone yet: does a Pod use it?`,
  )
}
