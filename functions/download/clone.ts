// The CloneFromSnapshot that a Download was made for.

import { parseNamespacedName } from '#shared/api/names.ts'
import type { CloneFromSnapshot, Download } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { isDownloadOf } from '#shared/domain/staging.ts'
import { stepOf, stepPatch } from '#shared/domain/step-label.ts'
import type { Cluster } from '#shared/ports/cluster.ts'

/** undefined if there is none or if the reference is not a valid name. */
export async function cloneOf(
  cluster: Pick<Cluster, 'read'>,
  download: Download,
): Promise<CloneFromSnapshot | undefined> {
  const reference = parseNamespacedName(download.spec?.clonefromSnapshotReference)
  return reference === undefined
    ? undefined
    : await cluster.read('CloneFromSnapshot', reference.namespace, reference.name)
}

/** Makes a clone that waits for this Download due now. A clone that is not waiting is already being processed or has ended. */
export async function wakeClone({ cluster, clock }: StepDeps, download: Download): Promise<void> {
  const clone = await cloneOf(cluster, download)
  if (clone === undefined || stepOf(clone) !== 'waiting' || !isDownloadOf(download, clone)) return
  await cluster.patch('CloneFromSnapshot', clone, { metadata: stepPatch('clone', clock.nowMs()) })
}
