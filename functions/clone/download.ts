// The Download of a clone: one per clone, its name made from the clone's UID.

import type { KubeObject } from '#shared/api/kinds.ts'
import { formatDiskId } from '#shared/domain/ids.ts'
import { cloneReference, STAGED_ANNOTATION } from '#shared/domain/staging.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import type { StepDeps } from '#shared/steps/deps.ts'

/** Written into the clone before the Download is made: an abort must find each Download that may write. */
export function downloadNameOf(clone: KubeObject, source: { snapshotId: string }): string {
  return `download-${source.snapshotId}-${clone.metadata.uid}`
}

/** Repeatable: a second run finds the first one's Download. */
export async function ensureDownload(
  deps: StepDeps,
  clone: KubeObject,
  source: { fcdId: string; snapshotId: string },
  targetFcdId: string,
): Promise<void> {
  const name = downloadNameOf(clone, source)
  const now = rfc3339(deps.clock.nowMs())
  try {
    await deps.cluster.create('Download', {
      apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
      kind: 'Download',
      metadata: {
        name,
        namespace: deps.settings.veleroNamespace,
        labels: { 'velero.io/exclude-from-backup': 'true' },
        annotations: { [STAGED_ANNOTATION]: 'true' },
      },
      spec: {
        snapshotID: formatDiskId(source.fcdId, source.snapshotId),
        restoreTimestamp: now,
        protectedEntityID: formatDiskId(targetFcdId),
        backupRepositoryName: clone['spec'].backupRepository,
        clonefromSnapshotReference: cloneReference(clone),
      },
      status: { phase: 'New', nextRetryTimestamp: now, progress: {} },
    })
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
  }
}
