// PersistentVolumes of claims that are backed up: marked in the backup, and not restored by Velero.

import { isNamespaceName, isObjectName } from '#shared/api/names.ts'
import type { Backup, PersistentVolume } from '#shared/api/types.ts'
import type { RestoreItemAction } from '../actions.ts'
import { ACTION_NAMES, snapshotName, TAKEN_ANNOTATION } from '../domain/names.ts'
import { isOfBackup } from '../domain/requests.ts'
import { everyOne } from './applies-to.ts'
import type { ActionDeps } from './deps.ts'
import { answered, WITHOUT_OPERATION } from './restored.ts'

/** Velero backs up the PV after its claim, so the claim's Snapshot exists by then. */
export async function markTaken(deps: ActionDeps, volume: PersistentVolume, backup: Backup): Promise<PersistentVolume> {
  const { namespace, name, uid } = volume.spec?.claimRef ?? {}
  if (!isNamespaceName(namespace) || !isObjectName(name)) return volume
  const place = { namespace, name: snapshotName(backup.metadata.uid, uid) }
  const snapshot = await deps.cluster.read('Snapshot', place.namespace, place.name)
  if (snapshot === undefined || !isOfBackup(snapshot, backup)) return volume
  const annotations = { ...volume.metadata.annotations, [TAKEN_ANNOTATION]: `${place.namespace}/${place.name}` }
  return { ...volume, metadata: { ...volume.metadata, annotations } }
}

/**
 * A PV with the reclaim policy Retain would be restored unchanged, and bind the disk of the original claim: two claims would use one
 * disk, and none the restored data.
 */
export function pvRestorer({ name }: { name?: string } = {}): RestoreItemAction {
  return {
    kind: 'RestoreItemActionV2',
    name: name ?? ACTION_NAMES.volumeRestorer,
    appliesTo: async () => everyOne(['persistentvolumes']),
    execute: async (item, itemFromBackup, restore, log) => {
      const taken = itemFromBackup.metadata.annotations?.[TAKEN_ANNOTATION] !== undefined
      const skipRestore = taken && restore.spec?.restorePVs !== false
      if (skipRestore)
        log.info(`PersistentVolume ${item.metadata.name} is left out: its data is restored into a new one`)
      return answered(item, { skipRestore })
    },
    ...WITHOUT_OPERATION,
  }
}
