// The last write of a step: status and step label, in the order that the kind allows.

import { KINDS, type KindName, type KubeObject } from '#shared/api/kinds.ts'
import { leaseName } from '#shared/domain/lease.ts'
import { holdsFinalizer, type StepLabel, stepPatch, withoutFinalizer } from '#shared/domain/step-label.ts'
import type { StepDeps } from './deps.ts'
import { removeLease } from './lease.ts'

export type Ending = {
  /** Merge patch of the status; null fields are removed. */
  status: object
  step: StepLabel
  dueAtMs?: number
  /** The object holds nothing any more. */
  dropFinalizer?: boolean
}

/**
 * One patch for kinds without a status subresource; else status first and label second, so that whoever dies in between leaves
 * a status ahead of its label, which every handler accepts. Both carry the resourceVersion that was read.
 */
export async function writeEnding(
  deps: StepDeps,
  kind: KindName,
  seen: KubeObject,
  ending: Ending,
): Promise<KubeObject> {
  const metadata = {
    ...stepPatch(ending.step, ending.dueAtMs),
    ...(ending.dropFinalizer === true && holdsFinalizer(seen) ? { finalizers: withoutFinalizer(seen) } : {}),
  }
  if (!KINDS[kind].statusSubresource) return await deps.cluster.patch(kind, seen, { metadata, status: ending.status })
  const status = { ...ending.status, observedGeneration: seen.metadata.generation ?? 0 }
  const written = await deps.cluster.patchStatus(kind, seen, status)
  return await deps.cluster.patch(kind, written, { metadata })
}

/** For an object that is over: label done, finalizer and Lease gone. Repeatable. */
export async function settle(deps: StepDeps, kind: KindName, object: KubeObject): Promise<void> {
  const labelled =
    object.metadata.labels?.['dormouse.dev/step'] === 'done' &&
    object.metadata.annotations?.['dormouse.dev/due'] === undefined
  if (!labelled || holdsFinalizer(object)) {
    const finalizers = holdsFinalizer(object) ? { finalizers: withoutFinalizer(object) } : {}
    await deps.cluster.patch(kind, object, { metadata: { ...stepPatch('done'), ...finalizers } })
  }
  await removeLease(deps, leaseName(object))
}
