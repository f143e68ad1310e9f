// An object takes a transfer slot, waits in the queue for one, gives it back, and the next in the queue gets it. Of each namespace a few stand at the
// front of the queue, by a label: neither a newcomer nor a free slot makes anybody read all who wait.

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

const TRANSFERS = ['Upload', 'Download'] as const
const QUEUED = `${STEP_LABEL}=queued`
const FRONT = `${QUEUED},${QUEUE_LABEL}=front`
/** Also whoever has no such label, as an earlier version wrote none. */
const BACK = `${QUEUED},${QUEUE_LABEL}!=front`

export type Slots = { leases: (Lease | undefined)[]; held: string[] }

/**
 * A transfer needs a cluster-wide slot, and a permit of this process, whose memory is cut for so many transfers. `act` gives the
 * permit back before its last write, as that write's event may start the next slice at once.
 */
export async function withSlot(
  { deps, object }: { deps: TransferDeps; object: TransferObject },
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
  // A slot may have come free between the look and the patch, when nobody was queued to be given it.
  await gateIn(deps)
  return 'queued'
}

/**
 * Queued first: a slice that another delivery has begun meanwhile makes that patch fail. A death before the slot is free leaves it with one
 * that waits, and the sweep takes it back.
 */
async function standAside(deps: TransferDeps, upload: Upload): Promise<string> {
  const why = 'makes room for a disk whose last backup was ended before it had a slot; it goes on from its checkpoint'
  const stoodAside = { [STOOD_ASIDE_ANNOTATION]: String(upload.status?.slice ?? 0) }
  await queue(deps, upload, why, stoodAside)
  await giveSlot(deps, upload)
  return 'made room'
}

/** The volume moves no further for now: another one may have its slot. Only a slice that ended in time, or was cut off, goes on. */
export async function freeSlot<Name extends TransferObject['kind']>(
  { deps, object }: Run<Name, TransferDeps>,
  { outcome }: Result<Name>,
): Promise<void> {
  if (outcome.step === 'done' || outcome.step === 'waiting') await giveSlot(deps, object)
}

/** `have`: the object holds a slot, as it will over all of its slices. Else the words that say why it waits. */
export async function takeSlot(
  deps: StepDeps,
  object: TransferObject,
): Promise<{ have: true } | { have: false; why: string }> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const slots = await readSlots(deps)
    // While all slots are in use it does not matter whether others wait.
    const isEmpty = slots.held.includes('') && (await isQueueEmpty(deps, object))
    const decision = decideSlot(object, slots.held, isEmpty)
    if (decision.kind === 'have') return { have: true }
    if (decision.kind === 'queue') break
    if ((await occupy(deps, slots, decision.index, object)) !== undefined) return { have: true }
  }
  return { have: false, why: queueReason(deps.settings.movers) }
}

/** Frees the object's slot and wakes the next in the queue. Repeatable. */
export async function giveSlot(deps: StepDeps, object: TransferObject): Promise<void> {
  const slots = await readSlots(deps)
  for (const [index, holder] of slots.held.entries())
    if (holder === slotHolder(object)) await vacate(deps, slots.leases[index])
  await gateIn(deps)
}

/** Whether an upload that is between two slices gives its slot up: see `standsAside`. It goes on from its checkpoint when its turn comes. */
export async function makesRoom(deps: StepDeps, upload: Upload): Promise<boolean> {
  // Before anything is read: most first slices have nobody to make room for.
  if (stepOf(upload) === 'running' || !hasMovedASlice(upload)) return false
  const { leases, held } = await readSlots(deps)
  const tenants = leases
    .filter((_, index) => held[index] !== '')
    .map((lease) => lease?.metadata.annotations?.[TENANT_LABEL])
  const slotsOf = (tenant: string) => tenants.filter((each) => each === tenant).length
  return standsAside(upload, { waiting: await readFront(deps, new Set(held)), slotsOf })
}

/**
 * Gives each free slot to the next in the queue, and makes that object due. The slot is written first: a function that dies in between leaves
 * it with an object that still waits, and the sweep takes it back. Of two functions that choose at the same time one fails at the version of
 * the slot or of the object.
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
 * The sweep's part: frees the slots whose object is gone or does not transfer any more, and the second slot of one that has two. Each
 * slot is read before `isDead` looks at its object, so that one that was given anew meanwhile stays.
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

/** The slot's Lease, held by `object` now; undefined: someone else was first. */
async function occupy(deps: StepDeps, slots: Slots, index: number, object: TransferObject): Promise<Lease | undefined> {
  const lease = slots.leases[index]
  const nowMs = deps.clock.nowMs()
  // A slot belongs to an object, not to a process: it has no end by time, the sweep frees it when its object is over.
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

/** false: someone has written to it since it was read, so the slot is given again. */
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

/** Someone else freed it or took it: either is fine. */
async function ignoreConflict(write: Promise<unknown>): Promise<void> {
  try {
    await write
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
  }
}

/** `me` does not count. */
async function isQueueEmpty(deps: StepDeps, me: KubeObject): Promise<boolean> {
  return (await some(deps, QUEUED, 2)).every(({ metadata }) => metadata.uid === me.metadata.uid)
}

/** The labels of who is about to wait. Whoever waits already keeps its place. */
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
 * The fronts of all namespaces, of whom the next is chosen. `holders`: have been given a slot already. Without any front (a death, or
 * an earlier version that knew of none) everybody who waits is read.
 */
async function readFront(deps: StepDeps, holders: ReadonlySet<string>): Promise<TransferObject[]> {
  const waits = (object: KubeObject) => !holders.has(slotHolder(object))
  const front = (await all(deps, FRONT)).filter(waits)
  return front.length > 0 ? front : await formFronts(deps, (await all(deps, QUEUED)).filter(waits))
}

/** Who is given a free slot; undefined: nobody waits. `served`: when each namespace was given one last. */
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
