// Which volumes can be backed up by changed areas, which by allocated areas, and which not at all?

import type { PersistentVolume } from '#shared/api/types.ts'
import { CSI_DRIVER, requireDisk } from '#shared/domain/volume.ts'
import { asError } from '#shared/kernel/errors.ts'
import type { VolumeFacts } from '#shared/ports/volumes.ts'
import { inParallel } from '#shared/repository/core/in-parallel.ts'
import { type Finding, note, ok, problem, problemOf } from '../finding.ts'

type ChangeTrackingDeps = {
  listVolumes: () => Promise<PersistentVolume[]>
  describe: (fcdId: string) => Promise<VolumeFacts | undefined>
}

const PARALLEL = 8

export async function checkChangeTracking(deps: ChangeTrackingDeps): Promise<Finding[]> {
  try {
    const volumes = (await deps.listVolumes()).filter((volume) => volume.spec?.csi?.driver === CSI_DRIVER)
    if (volumes.length === 0) return [note('volumes', '', `there is no PersistentVolume of ${CSI_DRIVER}`)]
    return await inParallel(volumes, PARALLEL, (volume) => checkVolume(deps, volume))
  } catch (error) {
    return [problemOf('volumes', '', error)]
  }
}

async function checkVolume(deps: ChangeTrackingDeps, volume: PersistentVolume): Promise<Finding> {
  const subject = subjectOf(volume)
  let fcdId: string
  try {
    fcdId = requireDisk(volume, volume.metadata.name)
  } catch (error) {
    return note('volumes', subject, asError(error).message)
  }
  try {
    const facts = await deps.describe(fcdId)
    if (facts === undefined) {
      return problem(
        'volumes',
        subject,
        `no vCenter of the Secret knows its disk ${fcdId}`,
        'add its vCenter to the Secret',
      )
    }
    return facts.changedBlockTracking
      ? ok('volumes', subject, 'change tracking is on: a backup reads only what changed')
      : note(
          'volumes',
          subject,
          'change tracking is off: a backup reads all that is allocated, and sends only what is new',
        )
  } catch (error) {
    return problemOf('volumes', subject, error)
  }
}

function subjectOf(volume: PersistentVolume): string {
  const claim = volume.spec?.claimRef
  return claim === undefined ? volume.metadata.name : `${claim.namespace}/${claim.name}`
}
