// Staging claims in Velero's namespace whose restore is gone or over: no owner takes them away there, as an owner is of the same namespace.

import type { KubeObject } from '#shared/api/kinds.ts'
import { CLONE_LABEL, clonePlaceOf } from '#shared/domain/staging.ts'
import { stepOf } from '#shared/domain/step-label.ts'
import { isOver } from '#shared/domain/sweep.ts'
import { asError } from '#shared/kernel/errors.ts'
import { gather } from './gather.ts'
import type { SweepDeps } from './handler.ts'

/** In one sweep: each is one read, and one event. */
const MOST = 100

type Deps = Pick<SweepDeps, 'cluster' | 'clock' | 'settings' | 'wake' | 'log'>

/** Wakes the clone function by the claim's name: it looks again, and removes what is nobody's. Returns how many were woken. */
export async function wakeForLostStaging(deps: Deps): Promise<number> {
  const { veleroNamespace: namespace } = deps.settings
  const place = { namespace, labelSelector: CLONE_LABEL }
  const claims = await gather(deps, 'PersistentVolumeClaim', place, sketch)
  // So that many that cannot be removed keep no other one waiting.
  const from = claims.length > MOST ? deps.clock.nowMs() % claims.length : 0
  let woken = 0
  for (const claim of [...claims.slice(from), ...claims.slice(0, from)].slice(0, MOST)) {
    if (!(await isLost(deps, claim))) continue
    const ref = { kind: 'PersistentVolumeClaim', namespace, name: claim.metadata.name } as const
    await deps.wake('clone', ref)
    deps.log.info(ref, 'woke the clone function: the restore of this staging claim is gone or over')
    woken++
  }
  return woken
}

function sketch({ metadata: { name, uid, labels, annotations } }: KubeObject): object {
  return { metadata: { name, uid, labels, annotations } }
}

/** Not while its restore goes on. What could not be read is not gone. */
async function isLost({ cluster, log }: Deps, claim: KubeObject): Promise<boolean> {
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
