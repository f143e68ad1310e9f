// Cleans up a staging claim in Velero's namespace whose CloneFromSnapshot was removed by force, finalizer included. The claim has no owner
// reference there, so the garbage collector ignores it. The sweep finds it and wakes this function by its name.

import { KINDS } from '#shared/api/kinds.ts'
import { isObjectName } from '#shared/api/names.ts'
import type { CloneFromSnapshot, PersistentVolumeClaim } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { markedVolumes } from '#shared/controllers/restored-disk.ts'
import { DOWNLOAD_ANNOTATION } from '#shared/domain/staged-volume.ts'
import { CLONE_LABEL, clonePlaceOf, stagingClaimName } from '#shared/domain/staging.ts'
import { isEnded, stopDownload } from './download.ts'
import { removeStaged } from './leftovers.ts'
import { asDriven } from './staging-place.ts'

/** Placeholders for the fields that the claim does not record. */
const UNKNOWN_SPEC: CloneFromSnapshot['spec'] = {
  snapshotID: '',
  apiGroup: '',
  kind: 'PersistentVolumeClaim',
  backupRepository: '',
  cloneCancel: true,
}

/**
 * undefined: the claim is not a staging claim of Dormouse. The clone is rebuilt from the claim, which is trusted because only operators and
 * Dormouse write in Velero's namespace.
 */
export function lostCloneOf(
  deps: Pick<StepDeps, 'settings'>,
  claim: PersistentVolumeClaim,
): CloneFromSnapshot | undefined {
  const uid = claim.metadata.labels?.[CLONE_LABEL]
  const place = clonePlaceOf(claim)
  if (place === undefined || uid === undefined || claim.metadata.namespace !== deps.settings.veleroNamespace)
    return undefined
  const { apiVersion } = KINDS.CloneFromSnapshot
  const clone = asDriven({ apiVersion, kind: 'CloneFromSnapshot', metadata: { ...place, uid }, spec: UNKNOWN_SPEC })
  return stagingClaimName(clone) === claim.metadata.name ? clone : undefined
}

/** While a Download may write to the disk, the disk stays. */
export async function removeOrphan(deps: StepDeps, clone: CloneFromSnapshot, signal: AbortSignal): Promise<string> {
  const names = (await markedVolumes(deps, clone)).map(({ metadata }) => metadata.annotations?.[DOWNLOAD_ANNOTATION])
  for (const name of names.filter(isObjectName)) {
    const download = await deps.cluster.read('Download', deps.settings.veleroNamespace, name)
    if (download === undefined || isEnded(download)) continue
    await stopDownload(deps, download)
    return 'its clone is gone: told its Download to stop'
  }
  await removeStaged(deps, clone, { signal })
  return 'its clone is gone: the staged disk is removed'
}
