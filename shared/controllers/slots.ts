// Takes a transfer slot for an object, queues objects that find none free, and gives a freed slot to the next in the queue. A label marks a
// few objects of each namespace as the front of the queue, so neither a new object nor a free slot requires reading the whole queue.

import { KINDS, type KubeObject } from '#shared/api/kinds.ts'
import type { Lease, TransferObject, Upload } from '#shared/api/types.ts'
import { setCondition } from '#shared/domain/conditions.ts'
import { glance } from '#shared/domain/glance.ts'
import { heldLeaseSpec } from '#shared/domain/lease.ts'
import {
  decideSlot,
  FRONT_SIZE,
  frontOf,
  isQueued,
  newSlot,
  nextInQueue,
  type Place,
  placeOf,
  QUEUE_LABEL,
  queueReason,
  readServed,
  SERVED_ANNOTATION,
  SLOT_LABEL,
  servedText,
  slotHolder,
  slotName,
  TENANT_LABEL,
} from '#shared/domain/slots.ts'
import { STEP_LABEL, stepOf, stepPatch } from '#shared/domain/step-label.ts'
import { tenantOf } from '#shared/domain/tenant.ts'
import { hasMovedASlice, STOOD_ASIDE_ANNOTATION, standsAside } from '#shared/domain/waited-in-vain.ts'
import { ConflictError, RetryableError } from '#shared/kernel/errors.ts'
import type { Cursor } from '#shared/ports/cluster.ts'
import type { Result, Run } from './controller.ts'
import { objectText, type StepDeps, type TransferDeps } from './deps.ts'
import type { TransferRun } from './slice.ts'

const TRANSFERS = ['Upload', 'Download'] as const
const QUEUED = `${STEP_LABEL}=queued`
const FRONT = `${QUEUED},${QUEUE_LABEL}=front`
/** Also matches objects without the label: an earlier version did not write it. */
const BACK = `${QUEUED},${QUEUE_LABEL}!=front`

export type Slots = { leases: (Lease | undefined)[]; held: string[] }

/**
 * A transfer needs a cluster-wide slot and a permit of this process, because the pod's memory limit allows only so many transfers. `act`
 * gives the permit back before its last write, because that write's event may start the next slice at once.
 */
export async function withSlot(
  { deps, object }: TransferRun,
  act: (givePermit: () => void) => Promise<string>,
): Promise<string> {
  const slot = await takeSlot(deps, object)
  if (!slot.have) return await queue(deps, object, slot.why)
  if (object.kind === 'Upload' && (await makesRoom(deps, object))) return await standAside(deps, object)
  if (!deps.permits.tryTake()) {
    const text = 'this pod moves another volume; another pod takes this one'
    throw new RetryableError('MoverBusy', text, { retryAfterSeconds: 2 })
  }
  let held = true
  const givePermit = () => {
    if (held) deps.permits.give()
    held = false
  }
  try {
    return await act(givePermit)
  } finally {
    givePermit()
  }
}

async function queue(
  deps: TransferDeps,
  object: TransferObject,
  why: string,
  annotations: Record<string, string> = {},
): Promise<string> {
  const status = object.status ?? {}
  const queued = { type: 'Queued', status: 'True', reason: 'NoFreeSlot', message: why } as const
  const conditions = setCondition(status.conditions, queued, deps.clock.nowMs())
  const { labels, ...metadata } = stepPatch('queued')
  await deps.cluster.patch(object.kind, object, {
    metadata: {
      ...metadata,
      annotations: { ...metadata.annotations, ...annotations },
      labels: { ...labels, ...(await placeInQueue(deps, object)) },
    },
    status: { phase: status.phase ?? 'New', message: why, reason: 'NoFreeSlot', conditions },
  })
  // A slot may have become free between the look and the patch, when this object was not yet in the queue.
  await gateIn(deps)
  return 'queued'
}

/**
 * Queues the upload before it frees the slot. If another delivery has begun a slice meanwhile, the patch fails. If the process dies before
 * it frees the slot, the slot stays with a waiting object until the sweep frees it.
 */
async function standAside(deps: TransferDeps, upload: Upload): Promise<string> {
  const why = 'makes room for a disk whose last backup was ended before it had a slot; it goes on from its checkpoint'
  const stoodAside = { [STOOD_ASIDE_ANNOTATION]: String(upload.status?.slice ?? 0) }
  await queue(deps, upload, why, stoodAside)
  await giveSlot(deps, upload)
  return 'made room'
}

/**
 * Frees the slot when the volume will not move further for now. A slice that ended in time, or that was cut off, continues and keeps its
 * slot.
 */
export async function freeSlot<Name extends TransferObject['kind']>(
  { deps, object }: Run<Name, TransferDeps>,
  { outcome }: Result<Name>,
): Promise<void> {
  if (outcome.step === 'done' || outcome.step === 'waiting') await giveSlot(deps, object)
}

/** `have: true`: the object holds a slot and keeps it for all of its slices. Otherwise `why` says why it waits. */
export async function takeSlot(
  deps: StepDeps,
  object: TransferObject,
): Promise<{ have: true } | { have: false; why: string }> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const slots = await readSlots(deps)
    // While all slots are in use, it does not matter whether others wait.
    const isEmpty = slots.held.includes('') && (await isQueueEmpty(deps, object))
    const decision = decideSlot(object, slots.held, isEmpty)
    if (decision.kind === 'have') return { have: true }
    if (decision.kind === 'queue') break
    if ((await occupy(deps, slots, decision.index, object)) !== undefined) return { have: true }
  }
  return { have: false, why: queueReason(deps.settings.movers) }
}

/** Frees the object's slot and wakes the next object in the queue. Repeatable. */
export async function giveSlot(deps: StepDeps, object: TransferObject): Promise<void> {
  const slots = await readSlots(deps)
  for (const [index, holder] of slots.held.entries())
    if (holder === slotHolder(object)) await vacate(deps, slots.leases[index])
  await gateIn(deps)
}

/** Whether an upload between two slices gives up its slot: see `standsAside`. It continues from its checkpoint when its turn comes. */
async function makesRoom(deps: StepDeps, upload: Upload): Promise<boolean> {
  // This check comes before any read: for most first slices there is no upload to make room for.
  if (stepOf(upload) === 'running' || !hasMovedASlice(upload)) return false
  const { leases, held } = await readSlots(deps)
  const tenants = leases
    .filter((_, index) => held[index] !== '')
    .map((lease) => lease?.metadata.annotations?.[TENANT_LABEL])
  const slotsOf = (tenant: string) => tenants.filter((each) => each === tenant).length
  return standsAside(upload, { waiting: await readFront(deps, new Set(held)), slotsOf })
}

/**
 * Gives each free slot to the next object in the queue and makes that object due. The slot is written first: if the function dies in
 * between, the slot belongs to an object that still waits, and the sweep frees it. If two functions choose at the same time, one of them
 * fails with a conflict on the slot or on the object.
 */
export async function gateIn(deps: StepDeps): Promise<number> {
  let count = 0
  for (let attempt = 0; attempt < 2 * deps.settings.movers + 4; attempt++) {
    const slots = await readSlots(deps)
    const index = slots.held.indexOf('')
    if (index < 0) break
    const next = await chooseNext(deps, new Set(slots.held), readServed(slots.leases))
    if (next === undefined) break
    const slot = await occupy(deps, slots, index, next)
    if (slot !== undefined && (await makeDue(deps, next, slot))) count++
  }
  return count
}

/**
 * Called by the sweep. Frees the slots whose object is gone or no longer transfers, and the second slot of an object that has two. Each
 * slot is read before `isDead` looks at its object, so a slot that was given to another object meanwhile stays.
 */
export async function freeDeadSlots(deps: StepDeps, isDead: (holder: string) => Promise<boolean>): Promise<number> {
  const slots = await readSlots(deps)
  let freed = 0
  for (const [index, holder] of slots.held.entries()) {
    if (holder === '' || (slots.held.indexOf(holder) === index && !(await isDead(holder)))) continue
    await vacate(deps, slots.leases[index])
    freed++
  }
  return freed
}

export async function readSlots(deps: StepDeps): Promise<Slots> {
  const leases = await deps.cluster.list('Lease', {
    namespace: deps.settings.veleroNamespace,
    labelSelector: SLOT_LABEL,
  })
  const byName = new Map(leases.map((lease) => [lease.metadata.name, lease]))
  const ordered = Array.from({ length: deps.settings.movers }, (_, index) => byName.get(slotName(index)))
  return { leases: ordered, held: ordered.map((lease) => lease?.spec?.holderIdentity ?? '') }
}

/** Returns the slot's Lease, now held by `object`, or undefined if another process was first. */
async function occupy(deps: StepDeps, slots: Slots, index: number, object: TransferObject): Promise<Lease | undefined> {
  const lease = slots.leases[index]
  const nowMs = deps.clock.nowMs()
  // A slot belongs to an object, not to a process. It does not expire; the sweep frees it when its object has ended.
  const spec = heldLeaseSpec(slotHolder(object), deps.settings.leaseMs, nowMs)
  const tenant = tenantOf(object)
  const annotations = {
    [SERVED_ANNOTATION]: servedText(readServed(slots.leases), tenant, nowMs),
    [TENANT_LABEL]: tenant,
  }
  try {
    if (lease !== undefined) return await deps.cluster.patch('Lease', lease, { metadata: { annotations }, spec })
    return await deps.cluster.create('Lease', newSlot(deps.settings.veleroNamespace, index, annotations, spec))
  } catch (error) {
    if (error instanceof ConflictError) return undefined
    throw error
  }
}

async function vacate(deps: StepDeps, lease: Lease | undefined): Promise<void> {
  if (lease === undefined) return
  await ignoreConflict(deps.cluster.patch('Lease', lease, { spec: { holderIdentity: null } }))
}

/** false: another process has written to the object since it was read, so the slot is freed again. */
async function makeDue(deps: StepDeps, object: TransferObject, slot: Lease): Promise<boolean> {
  const { kind } = object
  const due = stepPatch(KINDS[kind].step, deps.clock.nowMs())
  try {
    await deps.cluster.patch(kind, object, { metadata: { ...due, labels: { ...due.labels, [QUEUE_LABEL]: null } } })
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    await vacate(deps, slot)
    return false
  }
  deps.log.info({ step: KINDS[kind].step }, `a slot is free: ${objectText(object)} is due`)
  return true
}

/** Another process has freed or taken the slot. Both are fine. */
async function ignoreConflict(write: Promise<unknown>): Promise<void> {
  try {
    await write
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
  }
}

/** Ignores `me`. */
async function isQueueEmpty(deps: StepDeps, me: KubeObject): Promise<boolean> {
  return (await some(deps, QUEUED, 2)).every(({ metadata }) => metadata.uid === me.metadata.uid)
}

/** The labels for an object that is about to wait. An object that already waits keeps its place. */
async function placeInQueue(deps: StepDeps, me: KubeObject): Promise<Record<string, string>> {
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
 * The fronts of all namespaces, from which the next object is chosen. `holders` are the objects that already hold a slot. If no object is
 * marked as front (a process died, or an earlier version did not know fronts), the whole queue is read.
 */
async function readFront(deps: StepDeps, holders: ReadonlySet<string>): Promise<TransferObject[]> {
  const waits = (object: KubeObject) => !holders.has(slotHolder(object))
  const front = (await all(deps, FRONT)).filter(waits)
  return front.length > 0 ? front : await formFronts(deps, (await all(deps, QUEUED)).filter(waits))
}

/** The object that gets a free slot; undefined if none waits. `served` is when each namespace last got a slot. */
async function chooseNext(
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

/**
 * Runs before the last object at the front of its namespace leaves, so that a namespace with waiting objects always has one at the front.
 */
async function fillFront(deps: StepDeps, last: TransferObject): Promise<void> {
  await formFronts(deps, await all(deps, `${BACK},${TENANT_LABEL}=${tenantOf(last)}`))
}

/** `waiting` are waiting objects that are not at the front. */
export async function formFronts(deps: StepDeps, waiting: readonly TransferObject[]): Promise<TransferObject[]> {
  const fronts = [...Map.groupBy(waiting, tenantOf).values()].flatMap(frontOf)
  return await Promise.all(fronts.map((object) => move(deps, object, 'front')))
}

/** The label only sets an order of precedence. An object that got a slot meanwhile, or has changed, is left as it is. */
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
  const found = await Promise.all(TRANSFERS.map(async (kind) => (await deps.cluster.page(kind, options)).objects))
  return found.flat()
}

async function all(deps: StepDeps, labelSelector: string): Promise<TransferObject[]> {
  return (await Promise.all(TRANSFERS.map((kind) => allOf(deps, kind, labelSelector)))).flat()
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
