// Removes data that no Velero Backup names: the plugin died after it had requested the backup, so no Velero deletion would ever remove it.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { DeleteSnapshot, Snapshot, SteppedObject } from '#shared/api/types.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { deleteSnapshotOf, isDeleteOf, lacksRights } from '#shared/domain/delete-request.ts'
import { BACKUP_NAME_LABEL, markOperation } from '#shared/domain/velero.ts'
import { holdsUnasked, isOrphanedBackup, veleroOwnerOf } from '#shared/domain/velero-owner.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import { type AskFate, textOf } from './owner-check.ts'

/**
 * true: a DeleteSnapshot was created; the delete function does the rest. If the process dies before the mark is written, the next sweep
 * repeats the request under the same name.
 */
export async function removeOrphanedBackup(deps: StepDeps, listed: SteppedObject, askFate: AskFate): Promise<boolean> {
  const owner = veleroOwnerOf(listed)
  if (owner === undefined || !holdsUnasked(listed)) return false
  const fate = await askFate(listed)
  if (fate === undefined || !isOrphanedBackup(listed, fate)) return false
  // The Backup has ended, so the plugin will not mark the Snapshot from here on. It may have done so after the Snapshot was listed.
  const snapshot = await readAgain(deps, listed)
  if (snapshot === undefined || !isOrphanedBackup(snapshot, fate)) return false
  const removal = removalOf(deps, snapshot)
  await ensure(deps, removal)
  await deps.cluster.patch('Snapshot', snapshot, { metadata: { annotations: markOperation('removed') } })
  const message = `${textOf(owner)} does not hold this backup, so its data is removed by DeleteSnapshot ${removal.metadata.name}`
  await announce(deps, snapshot, 'Warning', 'VeleroGaveUp', message)
  return true
}

async function readAgain(deps: StepDeps, { metadata }: KubeObject): Promise<Snapshot | undefined> {
  const found = await deps.cluster.read('Snapshot', metadata.namespace, metadata.name)
  if (found === undefined || found.metadata.uid !== metadata.uid) return undefined
  return found
}

function removalOf({ settings }: StepDeps, snapshot: Snapshot): DeleteSnapshot {
  return deleteSnapshotOf({
    snapshotUid: snapshot.metadata.uid ?? '',
    snapshotID: snapshot.status?.snapshotID ?? '',
    backupRepository: String(snapshot.spec?.backupRepository ?? ''),
    veleroNamespace: settings.veleroNamespace,
    namespace: snapshot.metadata.namespace ?? '',
    backupLabel: snapshot.metadata.labels?.[BACKUP_NAME_LABEL] ?? '',
  })
}

async function ensure(deps: StepDeps, removal: DeleteSnapshot): Promise<void> {
  try {
    await deps.cluster.create('DeleteSnapshot', removal)
  } catch (error) {
    const { namespace, name } = removal.metadata
    const found = error instanceof ConflictError && (await deps.cluster.read('DeleteSnapshot', namespace, name))
    if (!found || !isDeleteOf(found, removal)) throw error
    const { annotations } = removal.metadata
    if (lacksRights(found, removal)) await deps.cluster.patch('DeleteSnapshot', found, { metadata: { annotations } })
  }
}
