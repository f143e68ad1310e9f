// The guarantee behind the events: once a minute, the sweep wakes objects that are due but got no event, frees dead slots, and deletes old
// records.

import { KINDS, type KindName, type KubeObject, STEPPED_KINDS, type SteppedKind } from '#shared/api/kinds.ts'
import type { SteppedObject, TransferObject } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { removeLease } from '#shared/controllers/lease.ts'
import { formFronts, freeDeadSlots, gateIn } from '#shared/controllers/slots.ts'
import { leaseName } from '#shared/domain/lease.ts'
import { mayEnd } from '#shared/domain/retention.ts'
import { isQueued, QUEUE_LABEL, SLOT_LABEL, slotHolder } from '#shared/domain/slots.ts'
import { decideWake, isOver, keepsSlot, type WakeDecision } from '#shared/domain/sweep.ts'
import { TASK_LABEL } from '#shared/domain/task.ts'
import { tenantOf } from '#shared/domain/tenant.ts'
import { holdsUnasked, isAwaited, veleroOwnerOf } from '#shared/domain/velero-owner.ts'
import { asError, ConflictError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { removeOrphanedBackup } from './orphaned-backups.ts'
import { type AskFate, askFates, stopAbandoned } from './owner-check.ts'
import { endRecord } from './records.ts'
import { endTornOut, mayBeTornOut } from './torn-out.ts'
import { takeTurns, within } from './turns.ts'
import { type Limits, ownerOf, partnerOf, readWorld, unreadOf, type World } from './world.ts'

export type SweepDeps = StepDeps & {
  /** Sends the wake-up. Resolves once the receiver has accepted it, and never waits for the work itself. */
  wake: (step: string, ref: ObjectRef) => Promise<void>
  /** The causes are counted separately: rescues measure lost events, scheduled wake-ups are back-off and polls. */
  count: (kind: KindName, cause: 'rescue' | 'scheduled') => void
  /** For tests that cannot create thousands of objects. */
  limits?: Limits
}

export type SweepReport = {
  looked: number
  rescued: number
  scheduled: number
  slotsFreed: number
  gatedIn: number
  /** Objects that were told to stop because their Backup or Restore failed, is gone, or ended without them. */
  abandoned: number
  /** Complete backups that no Velero Backup holds; the removal of their data was requested. */
  unclaimed: number
  /** Records of ended work that were deleted. */
  collected: number
  /** Hand-overs whose CloneFromSnapshot was removed by force, finalizer included; the removal of their disks was started. */
  tornOut: number
  /** Deletions that were completed without their clean-up. */
  released: number
  failed: number
  /** Objects that were left because the time, or their tenant's share, was used up. The next sweep comes in a minute. */
  left: number
}

const OURS = 'app.kubernetes.io/part-of'

/**
 * The limits add up to 44 s, plus 2 s for lost staging claims afterwards, so the sweep ends before the next tick even if a call or two hang
 * for their 15 s. Each part has its own limit: a server that is slow to list must not keep objects from being woken.
 */
const READ_MS = 20 * SECOND_MS
const WAKE_MS = 18 * SECOND_MS
const LEASES_MS = 2 * SECOND_MS
const TORN_OUT_MS = 1 * SECOND_MS
const END_MS = 3 * SECOND_MS
/** A wake-up that neither broker nor function answers takes 4 s, so 64 at once make 16 per second. */
const WAKES_AT_ONCE = 64
const ENDS_AT_ONCE = 8
/** Limits per tenant and sweep. */
const WAKES_EACH = 200
const ENDS_EACH = 100
const FATES_EACH = 100

type Sweep = { deps: SweepDeps; world: World; askFate: AskFate; report: SweepReport }

/**
 * Looks at every unfinished object once. A failure of one object, namespace or kind does not stop the others. `signal` aborts when the
 * request ends; the rest is left to the next sweep.
 */
export async function sweep(deps: SweepDeps, signal: AbortSignal): Promise<SweepReport> {
  const after = (ms: number) => within(deps, ms, signal)
  const world = await readWorld(deps, after(READ_MS), deps.limits)
  const report: SweepReport = { ...NOTHING_DONE, looked: world.objects.length, failed: failuresIn(world) }
  const one: Sweep = { deps, world, askFate: askFates(deps, FATES_EACH), report }
  const salt = deps.clock.nowMs()
  const wakes = { atOnce: WAKES_AT_ONCE, perTenant: WAKES_EACH, salt, isLate: after(WAKE_MS) }
  const worthALook = world.objects.filter(isWorthALook(one))
  const [, left] = await Promise.all([
    settleSlots(one),
    takeTurns(worthALook, wakes, (object) => visitOne(one, object)),
  ])
  report.left += left
  await removeDeadLeases(one, after(LEASES_MS))
  await endAllTornOut(one, after(TORN_OUT_MS))
  const ends = { atOnce: ENDS_AT_ONCE, perTenant: ENDS_EACH, salt, isLate: after(END_MS) }
  const ending = world.objects.filter((object) => mayEnd(object, salt, deps.settings))
  report.left += await takeTurns(ending, ends, (object) => endOne(one, object))
  return report
}

const NOTHING_DONE: SweepReport = {
  looked: 0,
  rescued: 0,
  scheduled: 0,
  slotsFreed: 0,
  gatedIn: 0,
  abandoned: 0,
  unclaimed: 0,
  collected: 0,
  tornOut: 0,
  released: 0,
  failed: 0,
  left: 0,
}

/** Lists that failed count as failures. The log names them. */
function failuresIn(world: World): number {
  return STEPPED_KINDS.filter((kind) => !world.isListed(kind)).length + (world.leases === undefined ? 1 : 0)
}

function refOf({ kind, metadata }: SteppedObject): ObjectRef & { kind: SteppedKind } {
  return { kind, namespace: metadata.namespace, name: metadata.name }
}

/** A ConflictError means that the object was changed after it was listed; the next sweep looks at it again. */
function noteFailure({ deps, report }: Sweep, fields: object, what: string, error: unknown): void {
  if (error instanceof ConflictError) return
  report.failed++
  deps.log.warn({ ...fields, err: asError(error) }, `could not ${what}; the next sweep tries again`)
}

/** undefined: it failed, and the failure was counted and logged. */
async function attempt<T>(one: Sweep, fields: object, what: string, act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act()
  } catch (error) {
    noteFailure(one, fields, what, error)
    return undefined
  }
}

/** Runs in parallel with the wake-ups, because neither has to wait for the other. */
async function settleSlots(one: Sweep): Promise<void> {
  const { deps, world, report } = one
  const free = () => freeDeadSlots(deps, (holder) => isDeadHolder(deps, world, holder))
  report.slotsFreed = (await attempt(one, {}, 'free dead slots', free)) ?? 0
  await attempt(one, {}, 'bring to the front who waits', () => formFronts(deps, forgotten(world)))
  report.gatedIn = (await attempt(one, {}, 'give free slots to who waits', () => gateIn(deps))) ?? 0
}

/**
 * Objects at the back of the queue in a namespace that has no object at the front: the process that should have moved them forward died.
 */
function forgotten({ objects }: World): TransferObject[] {
  const queued = objects.filter((object) => object.kind === 'Upload' || object.kind === 'Download').filter(isQueued)
  const isFront = ({ metadata }: KubeObject) => metadata.labels?.[QUEUE_LABEL] === 'front'
  const fronts = new Set(queued.filter(isFront).map(tenantOf))
  return queued.filter((object) => !fronts.has(tenantOf(object)))
}

/**
 * Returns false for a slot that was taken after the objects were read, and for an object that may not have been read. Reads the object
 * itself again before it reports the holder as dead.
 */
async function isDeadHolder({ cluster }: StepDeps, world: World, holder: string): Promise<boolean> {
  if (world.slots === undefined || !world.slots.held.includes(holder)) return false
  const listed = world.objects.find((object) => slotHolder(object) === holder)
  const [kind = ''] = holder.split('/', 1)
  if (listed === undefined) return world.isListed(kind)
  if (keepsSlot(listed)) return false
  const { namespace, name, uid } = listed.metadata
  const fresh = await cluster.read(listed.kind, namespace, name)
  return fresh === undefined || fresh.metadata.uid !== uid || !keepsSlot(fresh)
}

/** Whether the object is due, or may have to end because its Velero owner has ended. */
function isWorthALook(one: Sweep): (object: SteppedObject) => boolean {
  return (object) => wakeOf(one, object).wake || mayBeAbandoned(one, object) || holdsUnasked(object)
}

function mayBeAbandoned({ world }: Sweep, object: SteppedObject): boolean {
  return veleroOwnerOf(object) !== undefined && isAwaited(object, partnerOf(world, object).partner)
}

function wakeOf({ deps, world }: Sweep, object: SteppedObject): WakeDecision {
  const { partner } = partnerOf(world, object)
  return decideWake(object, {
    nowMs: deps.clock.nowMs(),
    graceMs: deps.settings.dueMs,
    backoffUnitMs: deps.settings.backoffUnitMs,
    lease: world.leases?.get(leaseName(object)),
    upload: partner?.kind === 'Upload' ? partner : undefined,
    download: partner?.kind === 'Download' ? partner : undefined,
    owner: ownerOf(world, object).owner,
    unread: unreadOf(world, object),
  })
}

async function visitOne(one: Sweep, object: SteppedObject): Promise<number> {
  const { deps, world, askFate, report } = one
  const unfinished = { object, askFate, upload: partnerOf(world, object).partner }
  const stopped = await attempt(one, refOf(object), 'stop it', () => stopAbandoned(deps, unfinished))
  if (stopped === true) report.abandoned++
  const woken = stopped === true ? false : await wakeOne(one, object)
  const what = 'remove the data that no Backup holds'
  const removed = await attempt(one, refOf(object), what, () => removeOrphanedBackup(deps, object, askFate))
  if (removed === true) report.unclaimed++
  // A look at a Backup that this sweep has already read costs nothing.
  return stopped === true || stopped === undefined || woken || removed !== false ? 1 : 0
}

/** true: the object was due. Waking it may have failed. */
async function wakeOne(one: Sweep, object: SteppedObject): Promise<boolean> {
  const { deps, report } = one
  const decision = wakeOf(one, object)
  if (!decision.wake) return false
  const ref = refOf(object)
  try {
    await deps.wake(KINDS[ref.kind].step, ref)
    deps.count(ref.kind, decision.cause)
    if (decision.cause === 'rescue') report.rescued++
    else report.scheduled++
    deps.log.info({ ...ref, cause: decision.cause, over: isOver(object) }, `woke it: ${decision.why}`)
  } catch (error) {
    noteFailure(one, ref, 'wake it', error)
  }
  return true
}

/** Runs before records are deleted, because nothing but the record of such a Download describes its disk. */
async function endAllTornOut(one: Sweep, isLate: () => boolean): Promise<void> {
  const { deps, world, report } = one
  const { leases } = world
  if (leases === undefined) return
  const found = world.objects.filter((object) => {
    const { owner, isUnread } = ownerOf(world, object)
    return !isUnread && mayBeTornOut(object, owner)
  })
  const turns = {
    atOnce: ENDS_AT_ONCE,
    perTenant: ENDS_EACH,
    salt: deps.clock.nowMs(),
    isLate,
  }
  report.left += await takeTurns(found, turns, async (object) => {
    const ended = await attempt(one, refOf(object), 'end a hand-over', () => endTornOut(deps, object, leases))
    if (ended === true) report.tornOut++
    return 1
  })
}

async function endOne(one: Sweep, object: SteppedObject): Promise<number> {
  const { deps, world, askFate, report } = one
  const { owner, isUnread } = ownerOf(world, object)
  if (isUnread || world.leases === undefined) return 0
  const around = { leases: world.leases, askFate, owner }
  const outcome = await attempt(one, refOf(object), 'end the record', () => endRecord(deps, object, around))
  if (outcome === undefined) return 1
  if (outcome === 'kept') return 0
  report[outcome]++
  deps.log.info(
    refOf(object),
    outcome === 'collected' ? 'collected the record: it ended long ago' : 'let its finalizer go',
  )
  return 1
}

/** A holder that died after its object ended leaves its Lease behind. The released Lease of an object that is gone is left over too. */
async function removeDeadLeases(one: Sweep, isLate: () => boolean): Promise<void> {
  const { deps, world } = one
  const wanted = new Set(world.objects.filter((object) => !isOver(object)).map(leaseName))
  const known = STEPPED_KINDS.filter((kind) => world.knowsAll(kind)).map((kind) => `${kind.toLowerCase()}-lease.`)
  for (const lease of world.leases?.values() ?? []) {
    const { name, labels } = lease.metadata
    const isOfNobody = labels?.[OURS] === 'dormouse' && !wanted.has(name) && known.some((kind) => name.startsWith(kind))
    if (!isOfNobody || labels?.[SLOT_LABEL] !== undefined || labels?.[TASK_LABEL] !== undefined) continue
    if (isLate()) return
    await attempt(one, { lease: name }, 'remove a dead Lease', () => removeLease(deps, name))
  }
}
