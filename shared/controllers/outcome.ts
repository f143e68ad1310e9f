// The last write of a step: the status and the step label, in the order that the kind allows.

import { KINDS, type SteppedKind } from '#shared/api/kinds.ts'
import type { ChangeOf, KindTypes, StatusChangeOf } from '#shared/api/types.ts'
import { leaseName } from '#shared/domain/lease.ts'
import { holdsFinalizer, type StepLabel, stepPatch, withoutFinalizer } from '#shared/domain/step-label.ts'
import type { StepDeps } from './deps.ts'
import { removeLease } from './lease.ts'

export type Outcome<Name extends SteppedKind = SteppedKind> = {
  /** Merge patch of the status; null removes a field. */
  status: StatusChangeOf<Name>
  step: StepLabel
  dueAtMs?: number
  /** The object holds no more resources, so its finalizer can go. */
  dropFinalizer?: boolean
}

/** The outcome of an object that has ended: with this status it holds no more resources. */
export function overWith<Status>(status: Status): { status: Status; step: 'done'; dropFinalizer: true } {
  return { status, step: 'done', dropFinalizer: true }
}

/**
 * Writes one patch for kinds without a status subresource. For other kinds it writes the status first and the label second, so a process
 * that dies in between leaves a status that is ahead of its label, which every handler accepts. Both writes carry the resourceVersion that
 * was read.
 */
export async function writeOutcome<Name extends SteppedKind>(
  deps: StepDeps,
  kind: Name,
  seen: KindTypes[Name],
  outcome: Outcome<Name>,
): Promise<KindTypes[Name]> {
  const metadata = {
    ...stepPatch(outcome.step, outcome.dueAtMs),
    ...(outcome.dropFinalizer === true && holdsFinalizer(seen) ? { finalizers: withoutFinalizer(seen) } : {}),
  }
  if (!KINDS[kind].statusSubresource)
    return await deps.cluster.patch(kind, seen, { metadata, status: outcome.status } as ChangeOf<Name>)
  const status = { ...outcome.status, observedGeneration: seen.metadata.generation ?? 0 } as StatusChangeOf<Name>
  const written = await deps.cluster.patchStatus(kind, seen, status)
  return await deps.cluster.patch(kind, written, { metadata })
}

/** For an object that has ended: sets the label `done` and removes the finalizer and the Lease. Repeatable. */
export async function markDone<Name extends SteppedKind>(
  deps: StepDeps,
  kind: Name,
  object: KindTypes[Name],
): Promise<void> {
  const labelled =
    object.metadata.labels?.['dormouse.dev/step'] === 'done' &&
    object.metadata.annotations?.['dormouse.dev/due'] === undefined
  if (!labelled || holdsFinalizer(object)) {
    const finalizers = holdsFinalizer(object) ? { finalizers: withoutFinalizer(object) } : {}
    await deps.cluster.patch(kind, object, { metadata: { ...stepPatch('done'), ...finalizers } })
  }
  await removeLease(deps, leaseName(object))
}
