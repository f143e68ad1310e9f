// After a successful prune, records the place where the repository was opened, as its location gives it today. The location may then be
// renamed after a move, and be moved again.

import type { BackupRepository } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { locationDeps, presentRepository } from '#shared/controllers/storage-location.ts'
import { followsLocation } from '#shared/domain/present-location.ts'
import { parametersChange } from '#shared/domain/repository-claim.ts'
import { asError } from '#shared/kernel/errors.ts'
import type { RepositoryAccess } from '#shared/ports/mover.ts'

/** Nothing depends on this write: if it fails, the next prune repeats it. `access` is the access that was opened. */
export async function recordPlace(deps: StepDeps, name: string, access: RepositoryAccess): Promise<void> {
  try {
    const repository = await deps.cluster.read('BackupRepository', undefined, name)
    if (repository === undefined || !followsLocation(repository)) return
    const { location, spec } = await presentRepository(locationDeps(deps), repository)
    // The location may have been edited since, and its new place has not been verified.
    if (location === undefined || deps.stores.placeOfSettings(access.store) !== deps.stores.placeOf(spec)) return
    await write(deps, repository, location.metadata.name, spec.parameters)
  } catch (error) {
    deps.log.warn({ repository: name, err: asError(error) }, 'could not record where it is')
  }
}

async function write(
  deps: StepDeps,
  repository: BackupRepository,
  storageLocation: string,
  parameters: Record<string, string>,
): Promise<void> {
  const change = parametersChange(repository.repopsitoryParameters ?? {}, parameters)
  if (change === undefined) return
  await deps.cluster.patch('BackupRepository', repository, {
    repopsitoryParameters: change,
    status: { storageLocation },
  })
}
