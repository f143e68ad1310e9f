// The staged disk: a claim of our own makes the CSI driver provision it; nobody's Pod can use it before the hand-over.

import type { KubeObject } from '#shared/api/kinds.ts'
import { awaitedVolumeName } from '#shared/domain/restored-volume.ts'
import { isOwnClaim, stagingClaim, stagingClaimName } from '#shared/domain/staging.ts'
import { requireDisk } from '#shared/domain/volume.ts'
import { ConflictError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { Claim } from '#shared/steps/claim.ts'
import type { StepDeps } from '#shared/steps/deps.ts'
import { lookUntil } from '#shared/steps/look.ts'
import { requireWaitingClaim } from './waiting-claim.ts'

/** How long one request looks on; after that the claim's binding is an event, and the sweep is the guarantee. */
const LOOK_ON_MS = 10 * SECOND_MS
const LOOK_EVERY_MS = 250

export type Staged = { volumeName: string; fcdId: string; reclaimPolicy: string }

/** The staged disk, bound. RetryableError `ClaimNotBoundYet` while it is not; TerminalError once that takes too long. */
export async function provision(deps: StepDeps, claim: Claim, stored: KubeObject): Promise<Staged> {
  const clone = claim.latest()
  const model = await modelOf(deps, clone, stored)
  const staging = (await readStaging(deps, clone)) ?? (await createStaging(deps, clone, model))
  const bound = await awaitBound(deps, claim, staging)
  const volumeName = String(bound['spec'].volumeName)
  const volume = await deps.cluster.read('PersistentVolume', undefined, volumeName)
  const fcdId = requireDisk(volume, volumeName)
  return {
    volumeName,
    fcdId,
    reclaimPolicy: clone['status']?.reclaimPolicy ?? volume?.['spec']?.persistentVolumeReclaimPolicy ?? 'Delete',
  }
}

/** The claim that says class, size and modes. Velero's own as it stands: resource modifiers have changed it after it was stored. */
async function modelOf(deps: StepDeps, clone: KubeObject, stored: KubeObject): Promise<KubeObject> {
  const awaited = awaitedVolumeName(clone)
  if (awaited !== undefined) return await requireWaitingClaim(deps, clone, stored.metadata.name, awaited)
  await refuseExistingTarget(deps, clone, stored)
  return stored
}

/** Deletes the staging claim and with it, by the driver, its disk. A volume that was set to Retain is set back first. */
export async function removeStaging(deps: StepDeps, clone: KubeObject): Promise<void> {
  const volumeName = clone['status']?.volumeName
  const volume =
    typeof volumeName === 'string' ? await deps.cluster.read('PersistentVolume', undefined, volumeName) : undefined
  const ours = volume?.['spec']?.claimRef?.name === stagingClaimName(clone)
  if (volume !== undefined && ours && volume['spec'].persistentVolumeReclaimPolicy !== 'Delete') {
    await deps.cluster.patch('PersistentVolume', volume, { spec: { persistentVolumeReclaimPolicy: 'Delete' } })
  }
  const staging = await readStaging(deps, clone)
  if (staging !== undefined) await deps.cluster.delete('PersistentVolumeClaim', staging)
}

/** Deletes the staging claim and waits until it is gone: its volume, set to Retain, is nobody's then. */
export async function dropStaging(deps: StepDeps, claim: Claim): Promise<void> {
  const staging = await readStaging(deps, claim.latest())
  if (staging === undefined) return
  await deps.cluster.delete('PersistentVolumeClaim', staging)
  await awaitStagingGone(deps, claim)
}

/** Deleted is not gone: Kubernetes keeps a claim for as long as a Pod uses it. RetryableError `StagingClaimStays`. */
export async function awaitStagingGone(deps: StepDeps, claim: Claim): Promise<void> {
  const clone = claim.latest()
  if (await lookUntil(deps, claim, async () => (await readStaging(deps, clone)) === undefined)) return
  throw new RetryableError(
    'StagingClaimStays',
    `staging claim ${clone.metadata.namespace}/${stagingClaimName(clone)} is not gone yet: does a Pod use it?`,
  )
}

export async function readStaging(deps: StepDeps, clone: KubeObject): Promise<KubeObject | undefined> {
  const staging = await deps.cluster.read('PersistentVolumeClaim', clone.metadata.namespace, stagingClaimName(clone))
  return staging !== undefined && isOwnClaim(staging, clone) ? staging : undefined
}

async function refuseExistingTarget(deps: StepDeps, clone: KubeObject, stored: KubeObject): Promise<void> {
  const target = await deps.cluster.read('PersistentVolumeClaim', clone.metadata.namespace, stored.metadata.name)
  if (target === undefined || isOwnClaim(target, clone)) return
  throw new TerminalError(
    'TargetExists',
    `PersistentVolumeClaim ${clone.metadata.namespace}/${stored.metadata.name} exists: it is never overwritten; delete it or restore into another namespace`,
  )
}

async function createStaging(deps: StepDeps, clone: KubeObject, model: KubeObject): Promise<KubeObject> {
  const node = await selectedNode(deps, model)
  try {
    return await deps.cluster.create('PersistentVolumeClaim', stagingClaim(clone, model, node))
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    throw new TerminalError(
      'TargetExists',
      `PersistentVolumeClaim ${clone.metadata.namespace}/${stagingClaimName(clone)} exists, but was not made by this restore: delete it`,
    )
  }
}

/** A class that waits for its first consumer gets a node named, as the scheduler would do for a Pod. */
async function selectedNode(deps: StepDeps, model: KubeObject): Promise<string | undefined> {
  const className = model['spec']?.storageClassName
  if (typeof className !== 'string' || className === '') return undefined
  const storageClass = await deps.cluster.read('StorageClass', undefined, className)
  if (storageClass === undefined)
    throw new TerminalError(
      'StorageClassNotFound',
      `StorageClass ${className} does not exist: create it, or restore with another class`,
    )
  if (storageClass['volumeBindingMode'] !== 'WaitForFirstConsumer') return undefined
  const nodes = await deps.cluster.list('Node')
  const ready = nodes.find((node) => node['spec']?.unschedulable !== true && isReady(node))
  if (ready === undefined)
    throw new RetryableError(
      'NoNodeForVolume',
      `StorageClass ${className} waits for its first consumer, and no node is ready and schedulable`,
    )
  return ready.metadata.name
}

function isReady(node: KubeObject): boolean {
  return (
    node['status']?.conditions?.some(
      (condition: { type: string; status: string }) => condition.type === 'Ready' && condition.status === 'True',
    ) === true
  )
}

async function awaitBound(deps: StepDeps, claim: Claim, staging: KubeObject): Promise<KubeObject> {
  const { namespace, name } = staging.metadata
  const lookedFromMs = deps.clock.monotonicMs()
  for (;;) {
    const now = await deps.cluster.read('PersistentVolumeClaim', namespace, name)
    if (now?.['status']?.phase === 'Bound') return now
    if (claim.signal.aborted || deps.clock.monotonicMs() - lookedFromMs > LOOK_ON_MS) break
    await deps.clock.sleep(LOOK_EVERY_MS, claim.signal).catch(() => undefined)
  }
  const sinceMs = Date.parse(staging.metadata.creationTimestamp ?? '') || deps.clock.nowMs()
  if (!claim.signal.aborted && deps.clock.nowMs() - sinceMs > deps.settings.bindTimeoutMs) {
    throw new TerminalError(
      'ClaimNeverBound',
      `staging claim ${namespace}/${name} was not bound within ${deps.settings.bindTimeoutMs / SECOND_MS} s: look at its Events and at the CSI driver's log`,
    )
  }
  throw new RetryableError('ClaimNotBoundYet', `staging claim ${namespace}/${name} is not bound yet`)
}
