// Data that no backup of Velero names: its plugin died after it had asked for it, so that nobody would ever delete it.

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
 * true: a DeleteSnapshot was asked for; the delete function does the rest. A death before the mark is written repeats it under the
 * same name.
 */
export async function removeOrphanedBackup(deps: StepDeps, listed: SteppedObject, askFate: AskFate): Promise<boolean> {
  const owner = veleroOwnerOf(listed)
  if (owner === undefined || !holdsUnasked(listed)) return false
  const fate = await askFate(listed)
  if (fate === undefined || !isOrphanedBackup(listed, fate)) return false
  // Its Backup has ended, so that from here on nobody marks it any more; since it was listed, somebody may have.
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
