// Next to Velero's own CSI actions: which of the two takes the disk, and what the log says about it (docs/design/0003-velero.md).

import type { Backup, PersistentVolumeClaim } from '#shared/api/types.ts'
import type { ActionLog } from '../actions.ts'
import { type CsiMarks, csiMarks, isDataUploadOf } from '../domain/csi.ts'
import type { ClaimDecision } from '../domain/selection.ts'
import type { ActionDeps } from './deps.ts'
import { fieldsOf } from './twice.ts'

const ADVICE = 'to have it here alone, give the Backup a volume policy `custom` for csi.vsphere.vmware.com'

type Skip = Extract<ClaimDecision, { kind: 'skip' }>

/**
 * undefined: Dormouse takes the disk. The VolumeSnapshot of Velero's CSI actions stays beside the disk and is no backup, so Dormouse
 * still takes it.
 */
export async function leftToCsi(
  deps: ActionDeps,
  claim: PersistentVolumeClaim,
  backup: Backup,
  log: ActionLog,
): Promise<Skip | undefined> {
  const marks = csiMarks(claim, backup)
  if (marks === undefined) return undefined
  if (await isMoved(deps, marks, claim, backup)) {
    const message = `Velero's own data mover takes it, as the Backup says snapshotMoveData: ${ADVICE}`
    return { kind: 'skip', level: 'warn', reason: 'VeleroDataMover', message }
  }
  const words = `Velero's CSI feature has taken VolumeSnapshot ${marks.volumeSnapshot} of it, too`
  const reason = 'CsiSnapshotBeside'
  log.warn(`${reason}: ${words}, which stays in vCenter as long as this Backup: ${ADVICE}`, {
    ...fieldsOf(claim),
    reason,
  })
  return undefined
}

async function isMoved(
  { cluster, veleroNamespace }: ActionDeps,
  { dataUpload }: CsiMarks,
  claim: PersistentVolumeClaim,
  backup: Backup,
): Promise<boolean> {
  if (dataUpload === undefined || dataUpload.namespace !== veleroNamespace) return false
  const found = await cluster.read('DataUpload', dataUpload.namespace, dataUpload.name)
  return found !== undefined && isDataUploadOf(found, claim, backup)
}
