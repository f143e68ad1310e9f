// Who waits for a transfer slot. A few stand at the front, by a label, so that neither a newcomer nor a free slot makes anybody read them all.

import type { KindName, KubeObject } from '#shared/api/kinds.ts'
import { glance } from '#shared/domain/glance.ts'
import {
  FRONT_SIZE,
  frontOf,
  isQueued,
  QUEUE_LABEL,
  type Served,
  slotHolder,
  standsInFront,
  TENANT_LABEL,
} from '#shared/domain/slots.ts'
import { STEP_LABEL } from '#shared/domain/step-label.ts'
import { tenantOf } from '#shared/domain/tenant.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import type { Cursor } from '#shared/ports/cluster.ts'
import type { StepDeps } from './deps.ts'

const KINDS = ['Upload', 'Download'] as const
const QUEUED = `${STEP_LABEL}=queued`
const FRONT = `${QUEUED},${QUEUE_LABEL}=front`
/** Also whoever has no such label, as an earlier version wrote none. */
const BACK = `${QUEUED},${QUEUE_LABEL}!=front`

/** `me` does not count. */
export async function isQueueEmpty(deps: StepDeps, me: KubeObject): Promise<boolean> {
  return (await some(deps, QUEUED, 2)).every(({ metadata }) => metadata.uid === me.metadata.uid)
}

/** The labels of who is about to wait. Whoever waits already keeps its place. */
export async function placeInQueue(deps: StepDeps, me: KubeObject): Promise<Record<string, string>> {
  const tenant = tenantOf(me)
  if (isQueued(me) && me.metadata.labels?.[QUEUE_LABEL] !== undefined) return {}
  const front = await all(deps, FRONT)
  const isSettled = front.length >= FRONT_SIZE && front.some((other) => tenantOf(other) === tenant)
  const back = isSettled ? { isEmpty: false, hasOfMine: true } : await lookBack(deps, tenant)
  return { [QUEUE_LABEL]: standsInFront(me, front, back) ? 'front' : 'back', [TENANT_LABEL]: tenant }
}

async function lookBack(deps: StepDeps, tenant: string): Promise<{ isEmpty: boolean; hasOfMine: boolean }> {
  const isEmpty = (await some(deps, BACK, 1)).length === 0
  if (isEmpty) return { isEmpty, hasOfMine: false }
  return { isEmpty, hasOfMine: (await some(deps, `${BACK},${TENANT_LABEL}=${tenant}`, 1)).length > 0 }
}

/** Of whom the next is chosen: the front, and once that is used up a new one. `holders`: have been given a slot already. */
export async function candidates(deps: StepDeps, served: Served, holders: ReadonlySet<string>): Promise<KubeObject[]> {
  const waits = (object: KubeObject) => !holders.has(slotHolder(object))
  const front = (await all(deps, FRONT)).filter(waits)
  if (front.length > 0) return front
  const next = frontOf((await all(deps, QUEUED)).filter(waits), served)
  return await Promise.all(next.map((object) => bringForward(deps, object)))
}

/** Only an order of precedence: where it fails, the object is brought forward again, or was given a slot meanwhile. */
async function bringForward(deps: StepDeps, object: KubeObject): Promise<KubeObject> {
  const kind = object.kind as (typeof KINDS)[number]
  const labels = { [QUEUE_LABEL]: 'front', [TENANT_LABEL]: tenantOf(object) }
  try {
    return { ...(await deps.cluster.patch(kind, object, { metadata: { labels } })), kind }
  } catch (error) {
    if (error instanceof ConflictError) return object
    throw error
  }
}

async function some(deps: StepDeps, labelSelector: string, limit: number): Promise<KubeObject[]> {
  const options = { namespace: deps.settings.veleroNamespace, labelSelector, limit }
  const found = await Promise.all(KINDS.map(async (kind) => (await deps.cluster.page(kind, options)).objects))
  return found.flat()
}

async function all(deps: StepDeps, labelSelector: string): Promise<KubeObject[]> {
  return (await Promise.all(KINDS.map((kind) => allOf(deps, kind, labelSelector)))).flat()
}

async function allOf(deps: StepDeps, kind: KindName, labelSelector: string): Promise<KubeObject[]> {
  const found: KubeObject[] = []
  let from: Cursor | undefined
  do {
    const options = { namespace: deps.settings.veleroNamespace, labelSelector }
    const { objects, next } = await deps.cluster.page(kind, options, from)
    for (const object of objects) found.push(glance(kind, object))
    from = next
  } while (from !== undefined)
  return found
}
