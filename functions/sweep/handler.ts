// The guarantee behind the events: once a minute, wakes what is due and was reached by no event, frees dead slots, ends old records.

import type { KindName, KubeObject } from '#shared/api/kinds.ts'
import { leaseName } from '#shared/domain/lease.ts'
import { SLOT_LABEL, slotHolder } from '#shared/domain/slots.ts'
import { STEP_OF_KIND, type SteppedKind } from '#shared/domain/step-label.ts'
import { decideWake, isOver, keepsSlot } from '#shared/domain/sweep.ts'
import { asError, ConflictError } from '#shared/kernel/errors.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { announce } from '#shared/steps/announce.ts'
import type { StepDeps } from '#shared/steps/deps.ts'
import { removeLease } from '#shared/steps/lease.ts'
import { freeDeadSlots, gateInOldest } from '#shared/steps/slots.ts'
import { endRecord } from './records.ts'
import { type AskFate, askFates, stopAbandoned } from './requesters.ts'
import { removeUnclaimed } from './unclaimed.ts'

export type SweepDeps = StepDeps & {
  /** Sends the wake-up; resolves once it is taken, never waits for the work itself. */
  wake: (step: string, ref: ObjectRef) => Promise<void>
  /** Counted apart: rescues measure lost events, scheduled ones are back-off and polls. */
  count: (kind: KindName, cause: 'rescue' | 'scheduled') => void
}

export type SweepReport = {
  looked: number
  rescued: number
  scheduled: number
  slotsFreed: number
  gatedIn: number
  /** Work whose Backup or Restore failed, is gone or has ended without it, and that was told to stop. */
  abandoned: number
  /** Whole backups that no Backup of Velero holds, and whose data was told to go. */
  unclaimed: number
  /** Records of ended work that are gone now. */
  collected: number
  /** Deletions that were let go without their clean-up. */
  released: number
  failed: number
}

const OURS = 'app.kubernetes.io/part-of'
/** Kinds in the order in which work flows, so that what is oldest in the chain is looked at first. */
const SWEPT = Object.keys(STEP_OF_KIND) as SteppedKind[]

/** Looks at every unfinished object once. One object's trouble does not keep the others from being looked at. */
export async function sweep(deps: SweepDeps): Promise<SweepReport> {
  const world = await readWorld(deps)
  const report: SweepReport = { ...NOTHING_DONE }
  for (const object of world.objects) await visitOne(deps, world, object, report)
  report.slotsFreed = await freeDeadSlots(deps, (holder) => {
    const object = world.bySlotHolder.get(holder)
    return object !== undefined && keepsSlot(object)
  })
  report.gatedIn = await gateInOldest(deps)
  await removeDeadLeases(deps, world)
  for (const object of world.objects) await endOne(deps, world, object, report)
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
  released: 0,
  failed: 0,
}

type World = {
  objects: KubeObject[]
  leases: Map<string, KubeObject>
  uploads: Map<string, KubeObject>
  downloads: Map<string, KubeObject>
  bySlotHolder: Map<string, KubeObject>
  /** By `<namespace>/<name>`, as the transfers that were made for them name them. */
  requests: Map<string, KubeObject>
  askFate: AskFate
}

async function readWorld(deps: SweepDeps): Promise<World> {
  const lists = await Promise.all(
    SWEPT.map(async (kind) => (await deps.cluster.list(kind)).map((object) => ({ ...object, kind }))),
  )
  const leases = await deps.cluster.list('Lease', { namespace: deps.settings.veleroNamespace })
  const objects = lists.flat()
  const named = (kind: string) =>
    new Map(objects.filter((object) => object.kind === kind).map((object) => [object.metadata.name, object]))
  return {
    objects,
    leases: new Map(leases.map((lease) => [lease.metadata.name, lease])),
    uploads: named('Upload'),
    downloads: named('Download'),
    bySlotHolder: new Map(objects.map((object) => [slotHolder(object), object])),
    requests: new Map(objects.map((object) => [requestName(object), object])),
    askFate: askFates(deps),
  }
}

function requestName({ kind, metadata }: KubeObject): string {
  return `${kind}/${metadata.namespace}/${metadata.name}`
}

/** The Snapshot that an Upload, the CloneFromSnapshot that a Download was made for. */
function ownerOf(world: World, object: KubeObject): KubeObject | undefined {
  const { kind } = object
  const spec = object['spec']
  if (kind === 'Upload') return world.requests.get(`Snapshot/${spec?.snapshotReference}`)
  if (kind === 'Download') return world.requests.get(`CloneFromSnapshot/${spec?.clonefromSnapshotReference}`)
  return undefined
}

function refOf({ kind, metadata }: KubeObject): ObjectRef & { kind: SteppedKind } {
  return { kind: kind as SteppedKind, namespace: metadata.namespace, name: metadata.name }
}

function uploadOf({ uploads }: World, object: KubeObject): KubeObject | undefined {
  return uploads.get(object['status']?.uploadName ?? '')
}

/** What was written to since the list is looked at again by the next sweep. */
function noteFailure(deps: SweepDeps, report: SweepReport, ref: ObjectRef, what: string, error: unknown): void {
  if (error instanceof ConflictError) return
  report.failed++
  deps.log.warn({ ...ref, err: asError(error) }, `could not ${what}; the next sweep tries again`)
}

/** undefined: it failed, which is noted. */
async function attempt<T>(
  deps: SweepDeps,
  report: SweepReport,
  object: KubeObject,
  what: string,
  act: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await act()
  } catch (error) {
    noteFailure(deps, report, refOf(object), what, error)
    return undefined
  }
}

async function visitOne(deps: SweepDeps, world: World, object: KubeObject, report: SweepReport): Promise<void> {
  const { askFate } = world
  const unfinished = { object, askFate, upload: uploadOf(world, object) }
  const stopped = await attempt(deps, report, object, 'stop it', () => stopAbandoned(deps, unfinished))
  if (stopped === true) report.abandoned++
  else await visit(deps, world, object, report)
  const what = 'remove the data that no Backup holds'
  if (await attempt(deps, report, object, what, () => removeUnclaimed(deps, object, askFate))) report.unclaimed++
}

async function endOne(deps: SweepDeps, world: World, object: KubeObject, report: SweepReport): Promise<void> {
  const around = { ...world, owner: ownerOf(world, object) }
  const outcome = await attempt(deps, report, object, 'end the record', () => endRecord(deps, object, around))
  if (outcome === undefined || outcome === 'kept') return
  report[outcome]++
  deps.log.info(
    refOf(object),
    outcome === 'collected' ? 'collected the record: it ended long ago' : 'let its finalizer go',
  )
}

async function visit(deps: SweepDeps, world: World, object: KubeObject, report: SweepReport): Promise<void> {
  report.looked++
  const decision = decideWake(object, {
    nowMs: deps.clock.nowMs(),
    graceMs: deps.settings.dueMs,
    lease: world.leases.get(leaseName(object)),
    upload: uploadOf(world, object),
    download: world.downloads.get(object['status']?.downloadName ?? ''),
    owner: ownerOf(world, object),
  })
  if (!decision.wake) return
  const ref = refOf(object)
  try {
    await deps.wake(STEP_OF_KIND[ref.kind], ref)
    deps.count(ref.kind, decision.cause)
    if (decision.cause === 'rescue') report.rescued++
    else report.scheduled++
    deps.log.info({ ...ref, cause: decision.cause, over: isOver(object) }, `woke it: ${decision.why}`)
  } catch (error) {
    noteFailure(deps, report, ref, 'wake it', error)
  }
}

/** A holder that died after the end of its object leaves its Lease; a released one of an object that is gone is litter too. */
async function removeDeadLeases(deps: SweepDeps, world: World): Promise<void> {
  const wanted = new Set(world.objects.filter((object) => !isOver(object)).map(leaseName))
  for (const lease of world.leases.values()) {
    const { name, labels } = lease.metadata
    if (labels?.[OURS] !== 'dormouse' || labels[SLOT_LABEL] !== undefined || wanted.has(name)) continue
    await removeLease(deps, name)
  }
}

/** A dead letter puts an Event beside its object; it is never a terminal state (design §3.2). */
export async function noteDeadLetter(deps: StepDeps, ref: ObjectRef, code: string): Promise<string> {
  const object = await deps.cluster.read(ref.kind, ref.namespace, ref.name)
  if (object === undefined) return 'gone'
  await announce(
    deps,
    { ...object, kind: ref.kind },
    'Warning',
    'EventUndelivered',
    `its function did not take an event (last answer ${code}); the sweep wakes it`,
  )
  return 'noted'
}
