// An object takes a transfer slot, gives it back, and the next in the queue gets it. The queue is read once for many turns (shared/controllers/queue.ts).

import { KINDS } from '#shared/api/kinds.ts'
import type { Lease, TransferObject, Upload } from '#shared/api/types.ts'
import { setCondition } from '#shared/domain/conditions.ts'
import { heldLeaseSpec } from '#shared/domain/lease.ts'
import {
  decideSlot,
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
import { stepOf, stepPatch } from '#shared/domain/step-label.ts'
import { tenantOf } from '#shared/domain/tenant.ts'
import { hasMovedASlice, STOOD_ASIDE_ANNOTATION, standsAside } from '#shared/domain/waited-in-vain.ts'
import { ConflictError, RetryableError } from '#shared/kernel/errors.ts'
import type { Result, Run } from './controller.ts'
import { objectText, type StepDeps, type TransferDeps } from './deps.ts'
import { chooseNext, isQueueEmpty, placeInQueue, readFront } from './queue.ts'

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
    return await deps.cluster.create('Lease', newSlot(deps, index, annotations, spec))
  } catch (error) {
    if (error instanceof ConflictError) return undefined
    throw error
  }
}

function newSlot(
  deps: StepDeps,
  index: number,
  annotations: Record<string, string>,
  spec: NonNullable<Lease['spec']>,
): Lease {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: slotName(index),
      namespace: deps.settings.veleroNamespace,
      labels: { [SLOT_LABEL]: String(index), 'app.kubernetes.io/part-of': 'dormouse' },
      annotations,
    },
    spec,
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
