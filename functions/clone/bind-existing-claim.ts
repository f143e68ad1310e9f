// The hand-over to a claim that Velero has made: the staged disk loses its first volume object and gets one with the name that the claim
// waits for. The two steps must run one after the other: vSphere's CSI driver removes the disk of a retained volume from its inventory when
// the volume object is deleted, and adds the disk again when a new object is created.

import type { PersistentVolume, PersistentVolumeClaim } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { pollUntil } from '#shared/controllers/poll.ts'
import { insistOn } from '#shared/controllers/remade-volume.ts'
import { setReclaimPolicy } from '#shared/controllers/restored-disk.ts'
import type { WorkLease } from '#shared/controllers/work-lease.ts'
import { isRestoredVolume, type RestoredVolume, restoredVolume, waitsFor } from '#shared/domain/restored-volume.ts'
import { stateOfStaged } from '#shared/domain/staged-volume.ts'
import { ConflictError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { asBackedUp } from './backed-up.ts'
import { dropStaging } from './staging-claim.ts'
import { type Disk, finishVolume, readStagedVolume, requireStagedVolume, targetNotBound } from './volume.ts'
import { readWaitingClaim } from './waiting-claim.ts'

/** The caller records the plan before anything is taken away. `volumeName`: the volume that the claim waits for. */
export async function planFor(deps: StepDeps, disk: Disk, volumeName: string): Promise<RestoredVolume> {
  const { clone, target: name } = disk
  const target = await readWaitingClaim(deps, clone, name, volumeName)
  // The claim existed when the disk was made for it.
  if (target === undefined) throw targetGone(clone.metadata.namespace ?? '', name)
  const staged = await requireStagedVolume(deps, disk)
  const wanted = await asBackedUp(deps, disk, staged, target.spec?.accessModes)
  const plan = restoredVolume(clone, wanted, target, volumeName)
  const there = await readVolume(deps, plan)
  if (there === undefined || isRestoredVolume(there, plan)) return plan
  throw new TerminalError('VolumeNameTaken', taken(volumeName))
}

export async function bindExistingClaim(
  deps: StepDeps,
  lease: WorkLease<'CloneFromSnapshot'>,
  disk: Disk,
  plan: RestoredVolume,
): Promise<void> {
  if ((await ownVolume(deps, plan)) === undefined) {
    await dropStaged(deps, lease, disk)
    await createVolume(deps, plan)
  }
  const target = await awaitBound(deps, lease, plan)
  const volume = await ownVolume(deps, plan)
  if (volume === undefined) throw targetNotBound(target.metadata.namespace, target.metadata.name, plan.metadata.name)
  await finishVolume(deps, volume, target, disk.staged)
  await lease.patchStatus({ volumeName: plan.metadata.name })
}

async function readVolume(deps: StepDeps, plan: RestoredVolume): Promise<PersistentVolume | undefined> {
  return await deps.cluster.read('PersistentVolume', undefined, plan.metadata.name)
}

/** A taken name is a RetryableError and does not end the restore, because the disk may have no other volume object by now. */
async function ownVolume(deps: StepDeps, plan: RestoredVolume): Promise<PersistentVolume | undefined> {
  const volume = await readVolume(deps, plan)
  if (volume === undefined || isRestoredVolume(volume, plan)) return volume
  throw new RetryableError('VolumeNameTaken', taken(plan.metadata.name))
}

/** Removes the staging claim and the first volume object. The disk stays. */
export async function dropStaged(deps: StepDeps, lease: WorkLease<'CloneFromSnapshot'>, disk: Disk): Promise<void> {
  const { name } = disk.staged
  const staged = await readStagedVolume(deps, disk)
  if (staged !== undefined) await setReclaimPolicy(deps, staged, 'Retain')
  await dropStaging(deps, lease, disk.staged.namespace)
  const released = await readStagedVolume(deps, disk)
  if (released === undefined) return
  const isRetained = released.spec.persistentVolumeReclaimPolicy === 'Retain'
  if (!isRetained || stateOfStaged(released, disk) !== 'staged')
    throw standing(`PersistentVolume ${name} is not set to Retain: somebody changes it`)
  if (await hasClaim(deps, released)) throw standing(`PersistentVolume ${name} is still its staging claim's`)
  await deps.cluster.delete('PersistentVolume', released, 'unchanged')
  if (await pollUntil(deps, lease, async () => (await readStagedVolume(deps, disk)) === undefined)) return
  throw new RetryableError(
    'VolumeObjectStays',
    `PersistentVolume ${name} is deleted, but not gone: which of its finalizers holds it?`,
  )
}

/**
 * Compares the UID of the bound claim and ignores its labels: while the claim exists, Kubernetes would never finish deleting the volume.
 */
async function hasClaim(deps: StepDeps, volume: PersistentVolume): Promise<boolean> {
  const { namespace, name, uid } = volume.spec.claimRef ?? {}
  return (await deps.cluster.read('PersistentVolumeClaim', namespace, name ?? ''))?.metadata.uid === uid
}

/**
 * The hand-over deadline may turn this error into the end of the restore: the first volume object still exists, and the disk is deleted
 * through it.
 */
function standing(message: string): RetryableError {
  return new RetryableError('VolumeObjectStays', message, { cause: new TerminalError('VolumeObjectStays', message) })
}

export async function createVolume(deps: StepDeps, plan: RestoredVolume): Promise<void> {
  const { metadata, spec } = plan
  try {
    await insistOn(deps, { apiVersion: 'v1', kind: 'PersistentVolume', metadata, spec })
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    await ownVolume(deps, plan)
  }
}

/** A claim with the same name that replaced Velero's claim may also get the volume: the data is complete. */
async function awaitBound(
  deps: StepDeps,
  lease: WorkLease<'CloneFromSnapshot'>,
  plan: RestoredVolume,
): Promise<PersistentVolumeClaim> {
  const { namespace, name } = plan.spec.claimRef
  let target: PersistentVolumeClaim | undefined
  const bound = await pollUntil(deps, lease, async () => {
    target = await deps.cluster.read('PersistentVolumeClaim', namespace, name)
    const other = target?.spec?.volumeName
    if (target !== undefined && waitsFor(target, plan.metadata.name)) return target.status?.phase === 'Bound'
    if (target !== undefined && (other === undefined || other === '')) return false
    throw targetGone(namespace, name)
  })
  if (bound && target !== undefined) return target
  throw targetNotBound(namespace, name, plan.metadata.name)
}

function targetGone(namespace: string, name: string): TerminalError {
  return new TerminalError(
    'TargetGone',
    `PersistentVolumeClaim ${namespace}/${name} was deleted while it was restored: the restored disk is removed`,
  )
}

function taken(name: string): string {
  return `PersistentVolume ${name} exists, but was not made by this restore: find out whose it is before it goes`
}
