// Decides how the staged disk is made: a class that provisions, a node if the class waits for one, and no existing volume that Kubernetes
// would bind instead.

import type { CloneFromSnapshot, PersistentVolumeClaim, StorageClass } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { fits } from '#shared/domain/new-volume.ts'
import type { Placement } from '#shared/domain/staging.ts'
import { defaultClass, noClass, requireProvisioner, waitsForConsumer } from '#shared/domain/storage-class.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { nodeFor } from './node.ts'
import { ObstacleError } from './patience.ts'

/** Throws TerminalErrors `StorageClassMissing`, `StorageClassNotFound`, `DriverUnsupported`, and the errors of `nodeFor`. */
export async function placementOf(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  model: PersistentVolumeClaim,
): Promise<Omit<Placement, 'namespace'>> {
  const storageClass = requireProvisioner(await classOf(deps, model.spec?.storageClassName))
  const selectedNode = waitsForConsumer(storageClass) ? await nodeFor(deps, clone, storageClass, model) : undefined
  return { storageClass: storageClass.metadata.name, selectedNode }
}

async function classOf(deps: StepDeps, name: unknown): Promise<StorageClass> {
  if (name === '') throw noClass('the claim has the storage class ""')
  if (typeof name !== 'string') {
    const found = defaultClass(await deps.cluster.list('StorageClass'))
    if (found === undefined) throw noClass('the claim names no storage class, and no StorageClass is the default')
    return found
  }
  const storageClass = await deps.cluster.read('StorageClass', undefined, name)
  if (storageClass !== undefined) return storageClass
  throw new TerminalError(
    'StorageClassNotFound',
    `StorageClass ${name} does not exist: create it, or restore with another class`,
  )
}

/**
 * Kubernetes would bind a fitting volume before it provisions one. Another claim may be about to take that volume, so the restore waits:
 * ObstacleError `FittingVolumeExists`.
 */
export async function refuseFittingVolume(deps: StepDeps, wanted: PersistentVolumeClaim): Promise<void> {
  const volumes = await deps.cluster.list('PersistentVolume')
  const [name] = volumes
    .filter((volume) => fits(volume, wanted))
    .map(({ metadata }) => metadata.name)
    .sort()
  if (name === undefined) return
  const message =
    `PersistentVolume ${name} is free, fits and would be bound instead of a new disk: reserve it with a claimRef, give it another class, ` +
    'or restore with a StorageClass that waits for its first consumer'
  throw new ObstacleError('FittingVolumeExists', message)
}
