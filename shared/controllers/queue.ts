// Who waits for a transfer slot. Of each namespace a few stand at the front, by a label: neither a newcomer nor a free slot makes anybody read all.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { TransferObject } from '#shared/api/types.ts'
import { glance } from '#shared/domain/glance.ts'
import {
  FRONT_SIZE,
  frontOf,
  isQueued,
  nextInQueue,
  type Place,
  placeOf,
  QUEUE_LABEL,
  slotHolder,
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
  if (isQueued(me) && me.metadata.labels?.[QUEUE_LABEL] !== undefined) return {}
  const tenant = tenantOf(me)
  const front = await all(deps, `${FRONT},${TENANT_LABEL}=${tenant}`)
  const isFull = front.length >= FRONT_SIZE
  const hasBack = isFull || (await some(deps, `${BACK},${TENANT_LABEL}=${tenant}`, 1)).length > 0
  const { queue, makesWay } = placeOf(me, front, hasBack)
  if (makesWay !== undefined) await move(deps, makesWay, 'back')
  return { [QUEUE_LABEL]: queue, [TENANT_LABEL]: tenant }
}

/**
 * The fronts of all namespaces, of whom the next is chosen. `holders`: have been given a slot already. Without any front (a death, or
 * an earlier version that knew of none) everybody who waits is read.
 */
export async function readFront(deps: StepDeps, holders: ReadonlySet<string>): Promise<TransferObject[]> {
  const waits = (object: KubeObject) => !holders.has(slotHolder(object))
  const front = (await all(deps, FRONT)).filter(waits)
  return front.length > 0 ? front : await formFronts(deps, (await all(deps, QUEUED)).filter(waits))
}

/** Who is given a free slot; undefined: nobody waits. `served`: when each namespace was given one last. */
export async function chooseNext(
  deps: StepDeps,
  holders: ReadonlySet<string>,
  served: Parameters<typeof nextInQueue>[1],
): Promise<TransferObject | undefined> {
  const front = await readFront(deps, holders)
  const next = nextInQueue(front, served)
  if (next !== undefined && front.every((other) => other === next || tenantOf(other) !== tenantOf(next)))
    await fillFront(deps, next)
  return next
}

/** Before the last one at the front of its namespace goes, so that a namespace that waits always has somebody there. */
async function fillFront(deps: StepDeps, last: TransferObject): Promise<void> {
  await formFronts(deps, await all(deps, `${BACK},${TENANT_LABEL}=${tenantOf(last)}`))
}

/** `waiting`: any who wait, and are not at the front. */
export async function formFronts(deps: StepDeps, waiting: readonly TransferObject[]): Promise<TransferObject[]> {
  const fronts = [...Map.groupBy(waiting, tenantOf).values()].flatMap(frontOf)
  return await Promise.all(fronts.map((object) => move(deps, object, 'front')))
}

/** Only an order of precedence: who was given a slot meanwhile, or has changed, stays where it is. */
async function move(deps: StepDeps, object: TransferObject, queue: Place<never>['queue']): Promise<TransferObject> {
  const { kind } = object
  const labels = { [QUEUE_LABEL]: queue, [TENANT_LABEL]: tenantOf(object) }
  try {
    return glance(kind, await deps.cluster.patch(kind, object, { metadata: { labels } }))
  } catch (error) {
    if (error instanceof ConflictError) return object
    throw error
  }
}

async function some(deps: StepDeps, labelSelector: string, limit: number): Promise<TransferObject[]> {
  const options = { namespace: deps.settings.veleroNamespace, labelSelector, limit }
  const found = await Promise.all(KINDS.map(async (kind) => (await deps.cluster.page(kind, options)).objects))
  return found.flat()
}

async function all(deps: StepDeps, labelSelector: string): Promise<TransferObject[]> {
  return (await Promise.all(KINDS.map((kind) => allOf(deps, kind, labelSelector)))).flat()
}

async function allOf(deps: StepDeps, kind: TransferObject['kind'], labelSelector: string): Promise<TransferObject[]> {
  const found: TransferObject[] = []
  let from: Cursor | undefined
  do {
    const options = { namespace: deps.settings.veleroNamespace, labelSelector }
    const { objects, next } = await deps.cluster.page(kind, options, from)
    for (const object of objects) found.push(glance(kind, object))
    from = next
  } while (from !== undefined)
  return found
}
