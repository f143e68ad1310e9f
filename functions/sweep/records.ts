// Deletes the records of work that ended long ago, and releases deletions that cannot be finished.

import { KINDS } from '#shared/api/kinds.ts'
import type { Lease, SteppedObject } from '#shared/api/types.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { leaseName } from '#shared/domain/lease.ts'
import { decideRecord, isDeletionOverdue } from '#shared/domain/retention.ts'
import { withoutFinalizer } from '#shared/domain/step-label.ts'
import { mayStillBeRead } from '#shared/domain/velero-owner.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import { HOUR_MS } from '#shared/kernel/units.ts'
import type { AskFate } from './owner-check.ts'

type RecordOutcome = 'kept' | 'collected' | 'released'

/**
 * Deletes exactly the version that was listed. If the record was changed meanwhile, it throws ConflictError, and the next sweep looks
 * again.
 */
export async function endRecord(
  deps: StepDeps,
  object: SteppedObject,
  around: { owner: SteppedObject | undefined; leases: Map<string, Lease>; askFate: AskFate },
): Promise<RecordOutcome> {
  const nowMs = deps.clock.nowMs()
  const { recordRetentionMs, finalizerDeadlineMs } = deps.settings
  if (isDeletionOverdue(object, around.leases.get(leaseName(object)), nowMs, finalizerDeadlineMs)) {
    await release(deps, await readWhole(deps, object))
    return 'released'
  }
  const decision = decideRecord(object, around.owner, nowMs, recordRetentionMs)
  if (decision.kind === 'keep') return 'kept'
  if (decision.kind === 'stamp') return await stamp(deps, object, nowMs)
  // A transfer's record is deleted together with the record of the object that Velero knows: together they show how it ended.
  const fate = await around.askFate(around.owner ?? object)
  if (fate !== undefined && mayStillBeRead(fate)) return 'kept'
  await deps.cluster.delete(object.kind, object, 'unchanged')
  return 'collected'
}

async function stamp(deps: StepDeps, object: SteppedObject, nowMs: number): Promise<'kept'> {
  const kind = object.kind
  const status = { completionTimestamp: rfc3339(nowMs) }
  if (KINDS[kind].statusSubresource) await deps.cluster.patchStatus(kind, object, status)
  else await deps.cluster.patch(kind, object, { status })
  return 'kept'
}

/** The Event comes first: afterwards there is no object to attach it to. */
async function release(deps: StepDeps, object: SteppedObject): Promise<void> {
  const hours = Math.round((10 * deps.settings.finalizerDeadlineMs) / HOUR_MS) / 10
  const why = String(object.status?.reason ?? 'no reason known')
  const message = `could not clean up within ${hours} h of its deletion (${why}): it is let go; the orphan sweep and prune look for what is left`
  await announce(deps, object, 'Warning', 'FinalizerReleased', message)
  const { name, namespace } = object.metadata
  deps.log.warn({ kind: object.kind, name, namespace, reason: 'FinalizerReleased' }, message)
  await deps.cluster.patch(object.kind, object, { metadata: { finalizers: withoutFinalizer(object) } })
}

/**
 * Reads the full object: only a part was kept from the list, without other finalizers and the reason. Throws ConflictError if the object is
 * gone or has changed.
 */
async function readWhole({ cluster }: StepDeps, listed: SteppedObject): Promise<SteppedObject> {
  const { namespace, name, resourceVersion } = listed.metadata
  const found = await cluster.read(listed.kind, namespace, name)
  if (found?.metadata.resourceVersion !== resourceVersion || found === undefined)
    throw new ConflictError('Conflict', `${listed.kind} ${name} has changed since it was listed`)
  return found
}
