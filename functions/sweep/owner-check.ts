// Checks the Velero Backups and Restores that unfinished work was made for, and stops work that Velero no longer waits for.

import { KINDS } from '#shared/api/kinds.ts'
import type { Backup, Restore, SteppedObject, TransferObject } from '#shared/api/types.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { glance } from '#shared/domain/glance.ts'
import { stepPatch } from '#shared/domain/step-label.ts'
import {
  type Fate,
  fateOf,
  isAwaited,
  type VeleroOwner,
  veleroOwnerOf,
  whyAbandoned,
} from '#shared/domain/velero-owner.ts'
import { asError } from '#shared/kernel/errors.ts'

/** undefined: Velero did not ask for the object. */
export type AskFate = (object: SteppedObject) => Promise<Fate | undefined>
type Found = { object: Backup | Restore | undefined } | 'unknown'

/**
 * Reads each Backup and Restore once, only on demand, and only a limited number for each tenant, because tenants can write these names.
 * Must be called after the objects were listed: an owner exists before its objects, so an owner that is not found now is gone.
 */
export function askFates(deps: StepDeps, perTenant = Number.POSITIVE_INFINITY): AskFate {
  const asked = new Map<string, Promise<Found>>()
  const counts = new Map<string, number>()
  return async (object) => {
    const owner = veleroOwnerOf(object)
    if (owner === undefined) return undefined
    const key = textOf(owner)
    const tenant = object.metadata.namespace ?? ''
    const count = counts.get(tenant) ?? 0
    if (!asked.has(key) && count >= perTenant) return { kind: 'unknown' }
    if (!asked.has(key)) counts.set(tenant, count + 1)
    const reading = asked.get(key) ?? find(deps, owner)
    asked.set(key, reading)
    const found = await reading
    return found === 'unknown' ? { kind: 'unknown' } : fateOf(found.object, owner)
  }
}

/** Whatever prevents the read (including a kind that is not served) may pass. */
async function find(deps: StepDeps, owner: VeleroOwner): Promise<Found> {
  try {
    const found = await read(deps, owner)
    return { object: found && glance(owner.kind, found) } // a Backup with its status may be long, and many are kept
  } catch (error) {
    deps.log.warn({ err: asError(error) }, `could not read ${textOf(owner)}; the next sweep tries again`)
    return 'unknown'
  }
}

async function read(
  { cluster, settings }: StepDeps,
  { kind, name }: VeleroOwner,
): Promise<Backup | Restore | undefined> {
  if (kind === 'Backup') return await cluster.read('Backup', settings.veleroNamespace, name)
  return await cluster.read('Restore', settings.veleroNamespace, name)
}

export function textOf({ kind, name }: VeleroOwner): string {
  return `${kind} ${name}`
}

type Unfinished = { object: SteppedObject; upload: TransferObject | undefined; askFate: AskFate }

/**
 * true: the object was asked to stop. The label change causes an event; the next sweep is the guarantee (docs/operations/cancel.md). Throws
 * ConflictError if the object was changed since it was listed.
 */
export async function stopAbandoned(deps: StepDeps, { object, upload, askFate }: Unfinished): Promise<boolean> {
  const owner = veleroOwnerOf(object)
  if (owner === undefined || !isAwaited(object, upload)) return false
  const fate = await askFate(object)
  const why = fate && whyAbandoned(fate)
  if (why === undefined) return false
  await tellToStop(deps, object)
  const message = `${textOf(owner)} ${why}: nobody waits for this any more, so it was cancelled`
  await announce(deps, object, 'Warning', 'VeleroGaveUp', message)
  return true
}

async function tellToStop({ cluster, clock }: StepDeps, object: SteppedObject): Promise<void> {
  const metadata = stepPatch(KINDS[object.kind].step, clock.nowMs())
  if (object.kind === 'Snapshot') await cluster.patch('Snapshot', object, { metadata, spec: { snapshotCancel: true } })
  if (object.kind === 'CloneFromSnapshot')
    await cluster.patch('CloneFromSnapshot', object, { metadata, spec: { cloneCancel: true } })
}
