// Finds staging claims in Velero's namespace whose restore is gone or has ended. The garbage collector does not remove them, because an
// owner reference only works within one namespace.

import type { PersistentVolumeClaim } from '#shared/api/types.ts'
import { CLONE_LABEL, clonePlaceOf } from '#shared/domain/staging.ts'
import { stepOf } from '#shared/domain/step-label.ts'
import { isOver } from '#shared/domain/sweep.ts'
import { asError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { gather } from './gather.ts'
import type { SweepDeps } from './handler.ts'
import { takeTurns, within } from './turns.ts'

/** A separate limit after the sweep: objects that wait to be woken come first. */
const LOST_MS = 2 * SECOND_MS
/** Each is one read, and one event that takes 4 s if no receiver answers. */
const AT_ONCE = 16
/** Per tenant and sweep. */
const EACH = 100

type Deps = Pick<SweepDeps, 'cluster' | 'clock' | 'settings' | 'wake' | 'log'>

/**
 * Wakes the clone function by the claim's name. That function checks again and removes claims without a restore. Returns how many were
 * woken.
 */
export async function wakeForLostStaging(deps: Deps, signal: AbortSignal): Promise<number> {
  const { veleroNamespace: namespace } = deps.settings
  const salt = deps.clock.nowMs()
  const isLate = within(deps, LOST_MS, signal)
  const place = { namespace, labelSelector: CLONE_LABEL }
  const claims = await gather(deps, 'PersistentVolumeClaim', place, sketch, isLate)
  // Starts at another position each time, so that claims that cannot be removed do not delay the others.
  const from = salt % Math.max(1, claims.length)
  let woken = 0
  const turns = { atOnce: AT_ONCE, perTenant: EACH, salt, isLate }
  await takeTurns([...claims.slice(from), ...claims.slice(0, from)], turns, async (claim) => {
    if (await wakeIfLost(deps, claim)) woken++
    return 1
  })
  return woken
}

/** Uses the namespace of the clone, which decides whose turn it is. */
function sketch(claim: PersistentVolumeClaim): object {
  const { name, uid, labels, annotations } = claim.metadata
  return { metadata: { name, uid, labels, annotations, namespace: clonePlaceOf(claim)?.namespace } }
}

async function wakeIfLost(deps: Deps, claim: PersistentVolumeClaim): Promise<boolean> {
  if (!(await isLost(deps, claim))) return false
  const { veleroNamespace: namespace } = deps.settings
  const ref = { kind: 'PersistentVolumeClaim', namespace, name: claim.metadata.name } as const
  try {
    await deps.wake('clone', ref)
  } catch (error) {
    deps.log.warn({ err: asError(error), ...ref }, 'could not wake the clone function; the next sweep tries again')
    return false
  }
  deps.log.info(ref, 'woke the clone function: the restore of this staging claim is gone or over')
  return true
}

/** false while the restore is in progress. A restore that could not be read does not count as gone. */
async function isLost({ cluster, log }: Deps, claim: PersistentVolumeClaim): Promise<boolean> {
  const place = clonePlaceOf(claim)
  if (place === undefined) return false
  try {
    const clone = await cluster.read('CloneFromSnapshot', place.namespace, place.name)
    if (clone === undefined || clone.metadata.uid !== claim.metadata.labels?.[CLONE_LABEL]) return true
    return isOver({ ...clone, kind: 'CloneFromSnapshot' }) && stepOf(clone) === 'done'
  } catch (error) {
    log.warn({ err: asError(error), ...place }, 'could not look for the restore of a staging claim')
    return false
  }
}
