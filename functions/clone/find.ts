// Finds the clone that an event belongs to: the event names the clone itself or a claim that refers to it.

import type { CloneFromSnapshot } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { clonePlaceOf } from '#shared/domain/staging.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { lostCloneOf } from './orphan.ts'

/** `lost`: the clone of a staging claim in Velero's namespace, as the claim describes it. */
type Found = { clone: CloneFromSnapshot | undefined; lost?: CloneFromSnapshot | undefined }

/** A claim names its clone in an annotation. Any user can write one, so the clone must know the claim too. */
export async function findClone(deps: StepDeps, ref: ObjectRef): Promise<Found> {
  if (ref.kind === 'CloneFromSnapshot')
    return { clone: await deps.cluster.read('CloneFromSnapshot', ref.namespace, ref.name) }
  const claim = await deps.cluster.read('PersistentVolumeClaim', ref.namespace, ref.name)
  const place = claim === undefined ? undefined : clonePlaceOf(claim)
  if (claim === undefined || place === undefined) return { clone: undefined }
  const lost = lostCloneOf(deps, claim)
  if (lost === undefined && place.namespace !== claim.metadata.namespace) return { clone: undefined }
  const clone = await deps.cluster.read('CloneFromSnapshot', place.namespace, place.name)
  if (lost === undefined || clone === undefined) return { clone, lost }
  // A new clone with the same name knows nothing of this claim.
  return clone.metadata.uid === lost.metadata.uid ? { clone, lost } : { clone: undefined, lost }
}
