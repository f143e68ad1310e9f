// Taking a transfer slot, giving it back, and gating in the oldest object that waits for one.

import type { KubeObject } from '#shared/api/kinds.ts'
import { heldLeaseSpec } from '#shared/domain/lease.ts'
import {
  decideSlot,
  isQueued,
  oldestFirst,
  queueReason,
  SLOT_LABEL,
  type SlotDecision,
  slotHolder,
  slotName,
} from '#shared/domain/slots.ts'
import { STEP_LABEL, STEP_OF_KIND, stepPatch } from '#shared/domain/step-label.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import { objectText, type StepDeps } from './deps.ts'

type Slots = { leases: (KubeObject | undefined)[]; held: string[] }

/** `have`: the object holds a slot, as it will over all of its slices. Else the words that say why it waits. */
export async function takeSlot(
  deps: StepDeps,
  object: KubeObject,
): Promise<{ have: true } | { have: false; why: string }> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const slots = await readSlots(deps)
    const decision = decideSlot(object, slots.held, await queuedObjects(deps))
    if (decision.kind === 'have') return { have: true }
    if (decision.kind === 'queue') return { have: false, why: decision.why }
    if (await occupy(deps, slots, decision, object)) return { have: true }
  }
  return { have: false, why: queueReason(deps.settings.movers) } // too many takers at once: the sweep gates it in
}

/** Frees the object's slot and wakes whoever waits longest. Repeatable. */
export async function giveSlot(deps: StepDeps, object: KubeObject): Promise<void> {
  const slots = await readSlots(deps)
  for (const [index, holder] of slots.held.entries())
    if (holder === slotHolder(object)) await vacate(deps, slots.leases[index])
  await gateInOldest(deps)
}

/** As many of the oldest queued objects as there are free slots become due. */
export async function gateInOldest(deps: StepDeps): Promise<number> {
  const { held } = await readSlots(deps)
  const free = held.filter((holder) => holder === '').length
  const chosen = oldestFirst(await queuedObjects(deps)).slice(0, free)
  for (const object of chosen) await gateIn(deps, object)
  return chosen.length
}

/** Frees the slots whose object is gone or does not transfer any more (the sweep's part). Returns how many. */
export async function freeDeadSlots(deps: StepDeps, keeps: (holder: string) => boolean): Promise<number> {
  const slots = await readSlots(deps)
  const dead = slots.held.flatMap((holder, index) => (holder !== '' && !keeps(holder) ? [index] : []))
  for (const index of dead) await vacate(deps, slots.leases[index])
  return dead.length
}

async function readSlots(deps: StepDeps): Promise<Slots> {
  const leases = await deps.cluster.list('Lease', {
    namespace: deps.settings.veleroNamespace,
    labelSelector: SLOT_LABEL,
  })
  const byName = new Map(leases.map((lease) => [lease.metadata.name, lease]))
  const ordered = Array.from({ length: deps.settings.movers }, (_, index) => byName.get(slotName(index)))
  return { leases: ordered, held: ordered.map((lease) => lease?.['spec']?.holderIdentity ?? '') }
}

async function queuedObjects(deps: StepDeps): Promise<KubeObject[]> {
  const options = { namespace: deps.settings.veleroNamespace, labelSelector: `${STEP_LABEL}=queued` }
  const [uploads, downloads] = await Promise.all([
    deps.cluster.list('Upload', options),
    deps.cluster.list('Download', options),
  ])
  return [...uploads, ...downloads]
}

async function occupy(
  deps: StepDeps,
  slots: Slots,
  decision: SlotDecision & { kind: 'take' },
  object: KubeObject,
): Promise<boolean> {
  const lease = slots.leases[decision.index]
  // A slot belongs to an object, not to a process: it has no end by time, the sweep frees it when its object is over.
  const spec = { ...heldLeaseSpec(slotHolder(object), deps.settings.leaseMs, deps.clock.nowMs()) }
  try {
    if (lease !== undefined) await deps.cluster.patch('Lease', lease, { spec })
    else await deps.cluster.create('Lease', newSlot(deps, decision.index, spec))
    return true
  } catch (error) {
    if (error instanceof ConflictError) return false
    throw error
  }
}

function newSlot(deps: StepDeps, index: number, spec: object): KubeObject {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: slotName(index),
      namespace: deps.settings.veleroNamespace,
      labels: { [SLOT_LABEL]: String(index), 'app.kubernetes.io/part-of': 'dormouse' },
    },
    spec,
  }
}

async function vacate(deps: StepDeps, lease: KubeObject | undefined): Promise<void> {
  if (lease === undefined) return
  await ignoreConflict(deps.cluster.patch('Lease', lease, { spec: { holderIdentity: null } }))
}

async function gateIn(deps: StepDeps, object: KubeObject): Promise<void> {
  if (!isQueued(object)) return
  const step = STEP_OF_KIND[object.kind as 'Upload' | 'Download']
  deps.log.info({ step }, `a slot is free: ${objectText(object)} is due`)
  await ignoreConflict(
    deps.cluster.patch(object.kind as 'Upload' | 'Download', object, { metadata: stepPatch(step, deps.clock.nowMs()) }),
  )
}

/** Someone else freed it or took it: either is fine. */
async function ignoreConflict(write: Promise<unknown>): Promise<void> {
  try {
    await write
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
  }
}
