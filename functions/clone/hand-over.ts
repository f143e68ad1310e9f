// The hand-over: the filled volume changes from the staging claim to the claim that the user asked for (design §3.8).
// Each part looks at what is there first, so a run that died is simply gone on with.

import type { KubeObject } from '#shared/api/kinds.ts'
import { leaseName, leaseState } from '#shared/domain/lease.ts'
import { awaitedVolumeName } from '#shared/domain/restored-volume.ts'
import { isOwnClaim, restoredClaim } from '#shared/domain/staging.ts'
import { ConflictError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { Claim } from '#shared/steps/claim.ts'
import type { StepDeps } from '#shared/steps/deps.ts'
import { lookUntil } from '#shared/steps/look.ts'
import { giveToWaitingClaim } from './give-to-waiting.ts'
import { dropStaging } from './provision.ts'
import { requireVolume, setReclaimPolicy, targetNotBound, wantedPolicy } from './volume.ts'

const RESERVED_MS = 5 * SECOND_MS

export async function handOver(deps: StepDeps, claim: Claim, stored: KubeObject): Promise<void> {
  await requireNoWriter(deps, claim.latest())
  const awaited = awaitedVolumeName(claim.latest())
  if (awaited === undefined) await giveToNewClaim(deps, claim, stored)
  else await giveToWaitingClaim(deps, claim, stored.metadata.name, awaited)
}

async function giveToNewClaim(deps: StepDeps, claim: Claim, stored: KubeObject): Promise<void> {
  const clone = claim.latest()
  const volumeName = String(clone['status'].volumeName)
  if ((await targetOf(deps, clone, stored)) === undefined) {
    await setReclaimPolicy(deps, await requireVolume(deps, volumeName), 'Retain')
    await dropStaging(deps, claim)
    await reserve(deps, clone, stored, volumeName)
    await awaitReserved(deps, claim, volumeName)
    await createTarget(deps, clone, stored, volumeName)
  }
  await awaitTargetBound(deps, claim, stored, volumeName)
  await setReclaimPolicy(deps, await requireVolume(deps, volumeName), wantedPolicy(clone))
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
  if (!bound) throw targetNotBound(clone.metadata.namespace, stored.metadata.name, volumeName)
}
