// Makes the staged disk: Dormouse's own claim makes the CSI driver provision it, and no Pod can use it before the hand-over. A disk counts
// as new only when the API server proves it.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { CloneFromSnapshot, Download, PersistentVolumeClaim } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { markedVolumes } from '#shared/controllers/restored-disk.ts'
import type { WorkLease } from '#shared/controllers/work-lease.ts'
import { isProvisionedFor } from '#shared/domain/new-volume.ts'
import { awaitedVolumeName } from '#shared/domain/restored-volume.ts'
import { isForeign, stagedVolumeOf } from '#shared/domain/staged-volume.ts'
import { isOwnClaim, stagingClaim } from '#shared/domain/staging.ts'
import { isBeingDeleted } from '#shared/domain/step-label.ts'
import { requireDisk } from '#shared/domain/volume.ts'
import { isNameTaken, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { largeEnough, seeOffSmaller } from './exchange.ts'
import { isPastBindTimeout, isRefusal, ObstacleError, withPatience } from './patience.ts'
import { placementOf, refuseFittingVolume } from './placement.ts'
import type { Staged } from './staged.ts'
import { readStaging, stagingStays } from './staging-claim.ts'
import { placesToStage } from './staging-place.ts'
import { requireWaitingClaim } from './waiting-claim.ts'

/** How long one request polls. After that, the claim's binding causes an event, and the sweep is the guarantee. */
const LOOK_ON_MS = 2 * SECOND_MS
const LOOK_EVERY_MS = 250

/**
 * Returns the staged disk, bound. Throws RetryableError `ClaimNotBoundYet` while it is not bound, and TerminalError once that takes too
 * long. `tried` is the Download of a disk that was too small for its backup.
 */
export async function provision(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  stored: PersistentVolumeClaim,
  until: Pick<WorkLease, 'signal'>,
  tried?: Download,
): Promise<Staged> {
  const model = await largeEnough(deps, clone, await modelOf(deps, clone, stored), tried)
  const standing = await readStaging(deps, clone, tried && stagedVolumeOf(tried)?.namespace)
  const found = tried === undefined ? standing : await seeOffSmaller(deps, clone, standing, tried, until)
  if (tried === undefined) await requireNothingLeft(deps, clone, found)
  if (found !== undefined && isBeingDeleted(found)) throw stagingStays(found)
  const staging = found ?? (await withPatience(deps, { clone, tried }, () => createStaging(deps, clone, model)))
  return await requireNew(deps, await awaitBound(deps, until, staging))
}

/**
 * The claim that sets class, size and modes. Velero's own claim is used as it is now, because resource modifiers changed it after it was
 * stored.
 */
async function modelOf(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  stored: PersistentVolumeClaim,
): Promise<PersistentVolumeClaim> {
  const awaited = awaitedVolumeName(clone)
  if (awaited !== undefined) return await requireWaitingClaim(deps, clone, stored.metadata.name, awaited)
  await refuseExistingTarget(deps, clone, stored)
  return stored
}

/**
 * Throws TerminalError if an earlier run got further but its record is gone: a foreign volume carries the mark (`VolumeNotNew`), or a
 * marked volume has no staging claim (`StagedVolumeUnknown`). The restore then ends and removes what is left.
 */
async function requireNothingLeft(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  staging: PersistentVolumeClaim | undefined,
): Promise<void> {
  const marked = await markedVolumes(deps, clone)
  const foreign = marked.find(isForeign)
  if (foreign !== undefined) throw notNew(clone, foreign.metadata.name)
  const [left] = marked
  if (left === undefined || staging !== undefined) return
  throw new TerminalError(
    'StagedVolumeUnknown',
    `PersistentVolume ${left.metadata.name} is of this restore, but its Download is gone: nobody can tell how much is written to it; restore again`,
  )
}

/**
 * Throws TerminalError `VolumeNotNew` if Kubernetes has bound a volume that existed before, or if this cannot be determined. Nothing is
 * written to such a volume.
 */
async function requireNew(deps: StepDeps, staging: PersistentVolumeClaim): Promise<Staged> {
  const name = String(staging.spec.volumeName)
  const volume = await deps.cluster.read('PersistentVolume', undefined, name)
  if (volume === undefined) throw new TerminalError('VolumeNotFound', `PersistentVolume ${name} does not exist`)
  if (!isProvisionedFor(volume, staging)) throw notNew(staging, name)
  const { uid: claimUID = '', namespace = '' } = staging.metadata
  return { volume, claimUID, namespace, fcdId: requireDisk(volume, name) }
}

function notNew({ metadata }: KubeObject, volumeName: string): TerminalError {
  return new TerminalError(
    'VolumeNotNew',
    `the staging claim in ${metadata.namespace} got PersistentVolume ${volumeName}, which was not provisioned for it: nothing was written to it by Dormouse, and it is kept as Released, with Retain; ` +
      'reserve it with a claimRef, or restore with a StorageClass that has no free volumes or that waits for its first consumer',
  )
}

async function refuseExistingTarget(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  stored: PersistentVolumeClaim,
): Promise<void> {
  const target = await deps.cluster.read('PersistentVolumeClaim', clone.metadata.namespace, stored.metadata.name)
  if (target === undefined || isOwnClaim(target, clone)) return
  throw new TerminalError(
    'TargetExists',
    `PersistentVolumeClaim ${clone.metadata.namespace}/${stored.metadata.name} exists: it is never overwritten; restore into another namespace`,
  )
}

async function createStaging(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  model: PersistentVolumeClaim,
): Promise<PersistentVolumeClaim> {
  const place = await placementOf(deps, clone, model)
  const [namespace = '', ...others] = await placesToStage(deps, clone, model)
  const wanted = stagingClaim(clone, model, { ...place, namespace })
  if (place.selectedNode === undefined) await refuseFittingVolume(deps, wanted)
  return await createIn(deps, [
    wanted,
    ...others.map((other) => stagingClaim(clone, model, { ...place, namespace: other })),
  ])
}

/** Creates the claim in the first namespace that admits it. A quota may have room soon. */
async function createIn(deps: StepDeps, [wanted, ...others]: PersistentVolumeClaim[]): Promise<PersistentVolumeClaim> {
  try {
    return await deps.cluster.create('PersistentVolumeClaim', wanted as PersistentVolumeClaim)
  } catch (error) {
    if (isRefusal(error) && others.length > 0) return await createIn(deps, others)
    if (isRefusal(error) && error.reason === 'QuotaExceeded') throw new ObstacleError(error.reason, error.message)
    // Any other conflict (a quota that is being recalculated) says nothing about the name.
    if (!isNameTaken(error)) throw error
    throw new TerminalError(
      'TargetExists',
      `PersistentVolumeClaim ${wanted?.metadata.namespace}/${wanted?.metadata.name} exists, but was not made by this restore: find out whose it is before it goes`,
    )
  }
}

async function awaitBound(
  deps: StepDeps,
  { signal }: Pick<WorkLease, 'signal'>,
  staging: PersistentVolumeClaim,
): Promise<PersistentVolumeClaim> {
  const { namespace, name } = staging.metadata
  const lookedFromMs = deps.clock.monotonicMs()
  for (;;) {
    const now = await deps.cluster.read('PersistentVolumeClaim', namespace, name)
    if (now?.status?.phase === 'Bound') return now
    if (signal.aborted || deps.clock.monotonicMs() - lookedFromMs > LOOK_ON_MS) break
    await deps.clock.sleep(LOOK_EVERY_MS, signal).catch(() => undefined)
  }
  if (!signal.aborted && isPastBindTimeout(deps, staging)) {
    throw new TerminalError(
      'ClaimNeverBound',
      `staging claim ${namespace}/${name} was not bound within ${deps.settings.bindTimeoutMs / SECOND_MS} s: look at its Events and at the CSI driver's log`,
    )
  }
  throw new RetryableError('ClaimNotBoundYet', `staging claim ${namespace}/${name} is not bound yet`)
}
