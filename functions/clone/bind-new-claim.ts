// The hand-over to a claim that the restore creates: the volume is reserved for the claim by name before the claim is created.

import type { ChangeOf, PersistentVolumeClaim } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { pollUntil } from '#shared/controllers/poll.ts'
import { setReclaimPolicy } from '#shared/controllers/restored-disk.ts'
import type { WorkLease } from '#shared/controllers/work-lease.ts'
import { type HandOver, stateOfStaged } from '#shared/domain/staged-volume.ts'
import { isOwnClaim, restoredClaim } from '#shared/domain/staging.ts'
import { changesTo, needsOtherObject } from '#shared/domain/taken-over.ts'
import { ConflictError, TerminalError } from '#shared/kernel/errors.ts'
import { asBackedUp } from './backed-up.ts'
import { makeAgain, noteAgain } from './make-again.ts'
import { isRefusal } from './patience.ts'
import { dropStaging } from './staging-claim.ts'
import { type Disk, finishVolume, requireStagedVolume, targetNotBound } from './volume.ts'

export async function bindNewClaim(
  deps: StepDeps,
  lease: WorkLease<'CloneFromSnapshot'>,
  disk: Disk,
  handOver: HandOver,
  stored: () => PersistentVolumeClaim,
): Promise<void> {
  // This comes first: the disk may have no volume object by now, and every way to end the restore needs one.
  if (handOver.again !== undefined) await makeAgain(deps, lease, disk, handOver.again)
  await requireFreeTarget(deps, disk)
  if (handOver.again === undefined) await promise(deps, lease, disk, handOver, stored)
  await awaitReserved(deps, lease, disk)
  await createTarget(deps, lease, disk, stored)
  const target = await awaitTargetBound(deps, lease, disk)
  await finishVolume(deps, await requireStagedVolume(deps, disk), target, disk.staged)
}

/** Reserves the staging claim's volume for the target, either as it is or as a new volume object over the same disk. */
async function promise(
  deps: StepDeps,
  lease: WorkLease<'CloneFromSnapshot'>,
  disk: Disk,
  handOver: HandOver,
  stored: () => PersistentVolumeClaim,
): Promise<void> {
  const volume = await requireStagedVolume(deps, disk)
  if (stateOfStaged(volume, disk) !== 'staged') return
  const wanted = await asBackedUp(deps, disk, volume, stored().spec?.accessModes)
  if (needsOtherObject(volume, wanted)) {
    const again = await noteAgain(deps, disk, handOver, wanted)
    return await makeAgain(deps, lease, disk, again)
  }
  await setReclaimPolicy(deps, volume, 'Retain')
  await dropStaging(deps, lease, disk.staged.namespace)
  await reserve(deps, disk, changesTo(volume, wanted))
}

async function readTarget(deps: StepDeps, { clone, target }: Disk): Promise<PersistentVolumeClaim | undefined> {
  return await deps.cluster.read('PersistentVolumeClaim', clone.metadata.namespace, target)
}

/** A claim that another party made is never touched. A claim that has our volume got it by its name, and its data is complete. */
async function requireFreeTarget(deps: StepDeps, disk: Disk): Promise<PersistentVolumeClaim | undefined> {
  const target = await readTarget(deps, disk)
  const volumeName = target?.spec?.volumeName ?? ''
  const isOurs = target !== undefined && isOwnClaim(target, disk.clone) && volumeName === ''
  if (target === undefined || isOurs || volumeName === disk.staged.name) return target
  throw new TerminalError(
    'TargetExists',
    `PersistentVolumeClaim ${disk.clone.metadata.namespace}/${disk.target} was created meanwhile: it is never overwritten`,
  )
}

/**
 * The volume's claimRef names the target without a UID, so only that claim can take it. The same patch applies what the backup records
 * about the volume.
 */
async function reserve(deps: StepDeps, disk: Disk, changes: ChangeOf<'PersistentVolume'>): Promise<void> {
  const volume = await requireStagedVolume(deps, disk)
  if (stateOfStaged(volume, disk) !== 'staged') return
  const claimRef = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    namespace: disk.clone.metadata.namespace,
    name: disk.target,
    uid: null,
    resourceVersion: null,
  }
  const { metadata, spec } = changes
  await deps.cluster.patch('PersistentVolume', volume, { metadata, spec: { ...spec, claimRef } })
}

/**
 * A claim that is created before the controller has seen the reservation waits for the binder's next round (15 s by default). This wait
 * only saves time: when it takes too long, the claim is created anyway.
 */
async function awaitReserved(deps: StepDeps, lease: WorkLease<'CloneFromSnapshot'>, disk: Disk): Promise<void> {
  const phaseOf = async () => (await requireStagedVolume(deps, disk)).status?.phase ?? ''
  const isSeen = async () => ['Available', 'Bound'].includes(await phaseOf())
  await pollUntil(deps, lease, isSeen)
}

async function createTarget(
  deps: StepDeps,
  lease: WorkLease<'CloneFromSnapshot'>,
  disk: Disk,
  read: () => PersistentVolumeClaim,
): Promise<void> {
  if ((await requireFreeTarget(deps, disk)) !== undefined) return
  const volume = await requireStagedVolume(deps, disk)
  const stored = read()
  const named = { ...stored, metadata: { ...stored.metadata, name: disk.target } }
  const wanted = restoredClaim(disk.clone, named, volume)
  let refusal: unknown
  const isThere = async () => {
    try {
      await deps.cluster.create('PersistentVolumeClaim', wanted)
      return true
    } catch (error) {
      refusal = error
      // The staging claim was deleted a moment ago, and Kubernetes will recalculate the quota soon.
      if (isRefusal(error) && error.reason === 'QuotaExceeded') return false
      if (!(error instanceof ConflictError)) throw error
      await requireFreeTarget(deps, disk)
      return true
    }
  }
  if (!(await pollUntil(deps, lease, isThere))) throw refusal
}

async function awaitTargetBound(
  deps: StepDeps,
  lease: WorkLease<'CloneFromSnapshot'>,
  disk: Disk,
): Promise<PersistentVolumeClaim> {
  let target: PersistentVolumeClaim | undefined
  const bound = await pollUntil(deps, lease, async () => {
    target = await requireFreeTarget(deps, disk)
    return target?.status?.phase === 'Bound'
  })
  if (bound && target !== undefined) return target
  throw targetNotBound(disk.clone.metadata.namespace, disk.target, disk.staged.name)
}
