// Ends a hand-over whose CloneFromSnapshot was removed by force, finalizer included. No function would continue it, and its disk, which is
// set to Retain, would stay for ever without counting towards a quota. The Download in Velero's namespace still describes it.

import { parseNamespacedName } from '#shared/api/names.ts'
import type { Download, Lease, SteppedObject } from '#shared/api/types.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { volumesToRemove } from '#shared/controllers/remade-volume.ts'
import { type Restored, removeDisk } from '#shared/controllers/restored-disk.ts'
import { parseDiskSnapshotId } from '#shared/domain/ids.ts'
import { leaseName, leaseState } from '#shared/domain/lease.ts'
import { handOverOf, NO_HAND_OVER, stagedVolumeOf } from '#shared/domain/staged-volume.ts'
import { isDownloadOf } from '#shared/domain/staging.ts'
import { holdsFinalizer, stepOf, withoutFinalizer } from '#shared/domain/step-label.ts'
import { isOver } from '#shared/domain/sweep.ts'
import { TerminalError } from '#shared/kernel/errors.ts'

/** Whether the Download is worth a look. `owner`: the object that has the name of its clone. */
export function mayBeTornOut(download: SteppedObject, owner: SteppedObject | undefined): boolean {
  if (download.kind !== 'Download' || !isOver(download) || stepOf(download) !== 'done') return false
  return holdsFinalizer(download) && (owner?.kind !== 'CloneFromSnapshot' || !isDownloadOf(download, owner))
}

/** true: the hand-over was ended. Each part first looks at what exists, so another sweep can continue after one that died. */
export async function endTornOut(
  deps: StepDeps,
  listed: SteppedObject,
  leases: ReadonlyMap<string, Lease>,
): Promise<boolean> {
  const download = await deps.cluster.read('Download', listed.metadata.namespace, listed.metadata.name)
  const clone = download === undefined ? undefined : tornOutOf(download)
  if (download === undefined || clone === undefined || (await isThere(deps, clone))) return false
  const state = leaseState(
    leases.get(leaseName({ ...download, ...clone, kind: 'CloneFromSnapshot' })),
    '',
    deps.clock.nowMs(),
  )
  if (state === 'held' || state === 'stale') return false
  const noted = await removeDisks(deps, download, clone)
  const message = 'its CloneFromSnapshot is gone: what was not handed over is removed'
  await announce(deps, download, 'Warning', 'CloneGone', message)
  await deps.cluster.patch('Download', noted, {
    metadata: { finalizers: withoutFinalizer(noted), annotations: NO_HAND_OVER },
  })
  return true
}

/** Place and UID of the clone, from the Download's reference and name. undefined: the Download hands nothing over. */
function tornOutOf(download: Download): Restored | undefined {
  const reference = parseNamespacedName(download.spec?.clonefromSnapshotReference)
  if (handOverOf(download) === undefined || reference === undefined) return undefined
  const head = headOf(download)
  const uid =
    head !== undefined && download.metadata.name.startsWith(head) ? download.metadata.name.slice(head.length) : ''
  const clone = { metadata: { ...reference, uid } }
  return uid === '' ? undefined : clone
}

function headOf(download: Download): string | undefined {
  try {
    return `download-${parseDiskSnapshotId(download.spec.snapshotID).snapshotId}-`
  } catch (error) {
    if (error instanceof TerminalError) return undefined
    throw error
  }
}

async function isThere(deps: StepDeps, { metadata }: Restored): Promise<boolean> {
  const found = await deps.cluster.read('CloneFromSnapshot', metadata.namespace, metadata.name)
  return found !== undefined && found.metadata.uid === metadata.uid
}

async function removeDisks(deps: StepDeps, download: Download, clone: Restored): Promise<Download> {
  const found = await volumesToRemove(deps, clone, download)
  for (const volume of found.volumes) await removeDisk(deps, clone, volume, stagedVolumeOf(download)?.reclaimPolicy)
  return found.download ?? download
}
