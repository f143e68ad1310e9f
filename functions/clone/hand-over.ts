// The hand-over: the filled volume changes from the staging claim to the claim that the user asked for (design §3.8).
// Each part looks at what is there first, so a run that died is simply gone on with.

import type { KubeObject } from '#shared/api/kinds.ts'
import { leaseName, leaseState } from '#shared/domain/lease.ts'
import { isOwnClaim, restoredClaim } from '#shared/domain/staging.ts'
import { ConflictError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { Claim } from '#shared/steps/claim.ts'
import type { StepDeps } from '#shared/steps/deps.ts'
import { lookUntil } from '#shared/steps/look.ts'
import { awaitStagingGone, readStaging } from './provision.ts'

const RESERVED_MS = 5 * SECOND_MS

export async function handOver(deps: StepDeps, claim: Claim, stored: KubeObject): Promise<void> {
  const clone = claim.latest()
  const volumeName = String(clone['status'].volumeName)
  await requireNoWriter(deps, clone)
  if ((await targetOf(deps, clone, stored)) === undefined) {
    await retain(deps, volumeName)
    await dropStaging(deps, claim)
    await reserve(deps, clone, stored, volumeName)
    await awaitReserved(deps, claim, volumeName)
    await createTarget(deps, clone, stored, volumeName)
  }
  await awaitTargetBound(deps, claim, stored, volumeName)
  await restoreReclaimPolicy(deps, clone, volumeName)
}

/** Nobody may still hold the Download: its writes would land in a disk that a Pod already uses. */
async function requireNoWriter(deps: StepDeps, clone: KubeObject): Promise<void> {
  const download = await deps.cluster.read('Download', deps.settings.veleroNamespace, clone['status'].downloadName)
  if (download === undefined) return
  const lease = await deps.cluster.read('Lease', deps.settings.veleroNamespace, leaseName(download))
  const state = leaseState(lease, '', deps.clock.nowMs())
  if (state === 'held' || state === 'stale')
    throw new RetryableError(
      'DownloadStillHeld',
      `Download ${download.metadata.name} is completed, but its Lease is not released yet`,
    )
}

/** The target when it is ours already; someone else's is never touched. */
async function targetOf(deps: StepDeps, clone: KubeObject, stored: KubeObject): Promise<KubeObject | undefined> {
  const target = await deps.cluster.read('PersistentVolumeClaim', clone.metadata.namespace, stored.metadata.name)
  if (target !== undefined && !isOwnClaim(target, clone)) {
    throw new TerminalError(
      'TargetExists',
      `PersistentVolumeClaim ${clone.metadata.namespace}/${stored.metadata.name} was created meanwhile: it is never overwritten`,
    )
  }
  return target
}

/** Else the volume would be deleted together with the staging claim. */
async function retain(deps: StepDeps, volumeName: string): Promise<void> {
  const volume = await requireVolume(deps, volumeName)
  if (volume['spec'].persistentVolumeReclaimPolicy === 'Retain') return
  await deps.cluster.patch('PersistentVolume', volume, { spec: { persistentVolumeReclaimPolicy: 'Retain' } })
}

async function dropStaging(deps: StepDeps, claim: Claim): Promise<void> {
  const clone = claim.latest()
  const staging = await readStaging(deps, clone)
  if (staging === undefined) return
  await deps.cluster.delete('PersistentVolumeClaim', staging)
  await awaitStagingGone(deps, claim)
}

/** The volume's claimRef names the target without a UID: only that claim can take it. */
async function reserve(deps: StepDeps, clone: KubeObject, stored: KubeObject, volumeName: string): Promise<void> {
  const volume = await requireVolume(deps, volumeName)
  const claimRef = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    namespace: clone.metadata.namespace,
    name: stored.metadata.name,
    uid: null,
    resourceVersion: null,
  }
  await deps.cluster.patch('PersistentVolume', volume, { spec: { claimRef } })
}

/**
 * A claim that comes before the controller has seen the reservation waits for the binder's next round (15 s by default). Only for
 * speed: when it takes too long the claim is created all the same.
 */
async function awaitReserved(deps: StepDeps, claim: Claim, volumeName: string): Promise<void> {
  const isAvailable = async () => (await requireVolume(deps, volumeName))['status']?.phase === 'Available'
  await lookUntil(deps, claim, isAvailable, RESERVED_MS)
}

async function createTarget(deps: StepDeps, clone: KubeObject, stored: KubeObject, volumeName: string): Promise<void> {
  try {
    await deps.cluster.create('PersistentVolumeClaim', restoredClaim(clone, stored, volumeName))
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    await targetOf(deps, clone, stored)
  }
}

async function awaitTargetBound(deps: StepDeps, claim: Claim, stored: KubeObject, volumeName: string): Promise<void> {
  const clone = claim.latest()
  const bound = await lookUntil(deps, claim, async () => {
    const target = await targetOf(deps, clone, stored)
    return target?.['status']?.phase === 'Bound' && target['spec']?.volumeName === volumeName
  })
  if (!bound)
    throw new RetryableError(
      'TargetNotBoundYet',
      `PersistentVolumeClaim ${clone.metadata.namespace}/${stored.metadata.name} is not bound to ${volumeName} yet`,
    )
}

async function restoreReclaimPolicy(deps: StepDeps, clone: KubeObject, volumeName: string): Promise<void> {
  const wanted = clone['status'].reclaimPolicy ?? 'Delete'
  const volume = await requireVolume(deps, volumeName)
  if (volume['spec'].persistentVolumeReclaimPolicy === wanted) return
  await deps.cluster.patch('PersistentVolume', volume, { spec: { persistentVolumeReclaimPolicy: wanted } })
}

async function requireVolume(deps: StepDeps, volumeName: string): Promise<KubeObject> {
  const volume = await deps.cluster.read('PersistentVolume', undefined, volumeName)
  if (volume === undefined)
    throw new TerminalError('VolumeNotFound', `PersistentVolume ${volumeName} is gone: the restored data went with it`)
  return volume
}
