// The claim that Velero made and that waits, Pending, for its volume. It is found by its name and by the volume that it names.

import type { CloneFromSnapshot, PersistentVolumeClaim } from '#shared/api/types.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { decodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { awaitedVolumeName, waitsFor } from '#shared/domain/restored-volume.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { isPastBindTimeout } from './patience.ts'

/** undefined: there is no claim. Throws TerminalError `TargetExists` if the claim of that name does not wait for this volume. */
export async function readWaitingClaim(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  name: string,
  volumeName: string,
): Promise<PersistentVolumeClaim | undefined> {
  const claim = await deps.cluster.read('PersistentVolumeClaim', clone.metadata.namespace, name)
  if (claim === undefined || waitsFor(claim, volumeName)) return claim
  throw new TerminalError(
    'TargetExists',
    `PersistentVolumeClaim ${clone.metadata.namespace}/${name} does not wait for ${volumeName}: it is not this restore's, and never overwritten`,
  )
}

/** Throws RetryableError `ClaimNotThereYet`: Velero makes the claim after the clone. */
export async function requireWaitingClaim(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  name: string,
  volumeName: string,
): Promise<PersistentVolumeClaim> {
  const claim = await readWaitingClaim(deps, clone, name, volumeName)
  if (claim !== undefined) return claim
  const where = `${clone.metadata.namespace}/${name}`
  if (isPastBindTimeout(deps, clone)) {
    throw new TerminalError(
      'ClaimNeverCreated',
      `Velero has not created PersistentVolumeClaim ${where} within ${deps.settings.bindTimeoutMs / SECOND_MS} s: look at the Restore`,
    )
  }
  throw new RetryableError('ClaimNotThereYet', `Velero has not created PersistentVolumeClaim ${where} yet`)
}

/** A user who looks at a claim that stays Pending finds the reason in its Events. */
export async function tellWaitingClaim(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  type: 'Normal' | 'Warning',
  reason: string,
  message: string,
): Promise<void> {
  const claim = await findWaitingClaim(deps, clone)
  if (claim === undefined) return
  await announce(deps, claim, type, reason, `CloneFromSnapshot ${clone.metadata.name}: ${message}`)
}

async function findWaitingClaim(deps: StepDeps, clone: CloneFromSnapshot): Promise<PersistentVolumeClaim | undefined> {
  const place = placeOf(clone)
  if (place === undefined) return undefined
  const claim = await deps.cluster.read('PersistentVolumeClaim', clone.metadata.namespace, place.name)
  return claim !== undefined && waitsFor(claim, place.volumeName) ? claim : undefined
}

/** undefined: no claim waits, or the clone cannot be decoded. In the second case its status has the reason. */
function placeOf(clone: CloneFromSnapshot): { name: string; volumeName: string } | undefined {
  try {
    const volumeName = awaitedVolumeName(clone)
    return volumeName === undefined
      ? undefined
      : { name: decodeClaimMetadata(clone.spec.metadata).metadata.name, volumeName }
  } catch (error) {
    if (error instanceof TerminalError) return undefined
    throw error
  }
}
