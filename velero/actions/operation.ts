// Progress and Cancel of a backup's operation: from its id and the objects alone, because each call may reach another process.

import { isObjectName } from '#shared/api/names.ts'
import type { Backup, Snapshot, Upload } from '#shared/api/types.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import type { ActionLog, OperationProgress } from '../actions.ts'
import { parseOperationId } from '../domain/names.ts'
import { failedOperation, isSnapshotEnded, operationState, unknownOperation } from '../domain/operation.ts'
import { isOfBackup } from '../domain/requests.ts'
import type { ActionDeps } from './deps.ts'
import { noteKnown } from './known.ts'
import { stop } from './stop.ts'

/**
 * Answers a DormouseError with a progress that is not complete: thrown from here, it could end the operation for good. Any error that
 * prevents the objects from being read may be transient, even a missing right; Velero's own time limit ends the operation.
 */
export async function operationProgress(
  deps: ActionDeps,
  operationId: string,
  backup: Backup,
): Promise<OperationProgress> {
  const nowMs = deps.clock.nowMs()
  try {
    const snapshot = await findSnapshot(deps, operationId, backup)
    if (snapshot === undefined) return failedOperation(`SnapshotGone: ${missing(operationId)}`, nowMs)
    await noteKnown(deps, 'Snapshot', snapshot)
    return operationState(snapshot, await findUpload(deps, snapshot), nowMs)
  } catch (error) {
    if (error instanceof DormouseError) return unknownOperation(`${error.reason}: ${error.message}`, nowMs)
    throw error
  }
}

/** May be called twice, and after the end. The snapshot function, or the upload function, does the actual cancelling. */
export async function cancelOperation(
  deps: ActionDeps,
  operationId: string,
  backup: Backup,
  log: ActionLog,
): Promise<void> {
  const told = await stop(deps, {
    kind: 'Snapshot',
    find: () => findSnapshot(deps, operationId, backup),
    isOver: isSnapshotEnded,
    spec: { snapshotCancel: true },
  })
  if (told === undefined) log.info(`nothing to cancel: ${missing(operationId)}`)
  if (told === true) log.info(`told Snapshot ${operationId} to stop`)
}

/** Only a Snapshot of this very Backup: an id could name any object. */
async function findSnapshot(deps: ActionDeps, operationId: string, backup: Backup): Promise<Snapshot | undefined> {
  const place = parseOperationId(operationId)
  const snapshot = place && (await deps.cluster.read('Snapshot', place.namespace, place.name))
  return snapshot !== undefined && isOfBackup(snapshot, backup) ? snapshot : undefined
}

async function findUpload(deps: ActionDeps, snapshot: Snapshot): Promise<Upload | undefined> {
  const name = snapshot.status?.uploadName
  return isObjectName(name) ? await deps.cluster.read('Upload', deps.veleroNamespace, name) : undefined
}

function missing(operationId: string): string {
  return `no Snapshot of this Backup is called ${JSON.stringify(operationId.slice(0, 320))}`
}
