// The RestoreItemAction on claims: Velero creates the claim, the functions fill a volume, and only then are the two bound.

import { isObjectName } from '#shared/api/names.ts'
import type { Backup, CloneFromSnapshot, PersistentVolumeClaim, Restore } from '#shared/api/types.ts'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { DormouseError, TerminalError } from '#shared/kernel/errors.ts'
import type { ActionLog, OperationProgress, RestoreExecuted, RestoreItemAction } from '../actions.ts'
import { storedSnapshot, withoutBlob } from '../domain/blob.ts'
import { ACTION_NAMES, formatOperationId, parseOperationId, restoredVolumeName } from '../domain/names.ts'
import { failedOperation, isCloneEnded, restoreState, unknownOperation } from '../domain/operation.ts'
import { cloneOf, isOfRestore } from '../domain/requests.ts'
import {
  CLASS_MAP_SELECTOR,
  decideRestore,
  mappedClass,
  type RestoreDecision,
  targetNamespace,
  waitingClaim,
} from '../domain/restore.ts'
import { everyOne } from './applies-to.ts'
import { type ActionDeps, patient } from './deps.ts'
import { labelValue } from './digest.ts'
import { findOrCreate } from './find-or-create.ts'
import { noteKnown } from './known.ts'
import { knownRepository } from './repository.ts'
import { answered } from './restored.ts'
import { stop } from './stop.ts'
import { warnOfSecondPlugin } from './twice.ts'

export function pvcRestorer(given: ActionDeps, { name }: { name?: string } = {}): RestoreItemAction {
  const deps = patient(given)
  return {
    kind: 'RestoreItemActionV2',
    name: name ?? ACTION_NAMES.restorer,
    appliesTo: async () => everyOne(['persistentvolumeclaims']),
    // Velero sends only items that `appliesTo` selects.
    execute: (item, itemFromBackup, restore, log) =>
      fill(
        deps,
        { item: item as PersistentVolumeClaim, itemFromBackup: itemFromBackup as PersistentVolumeClaim, restore },
        log,
      ),
    // Without retries: Velero asks again in ten seconds.
    progress: (operationId, restore) => progress(given, operationId, restore),
    cancel: (operationId, restore, log) => cancel(deps, operationId, restore, log),
  }
}

type Asked = { item: PersistentVolumeClaim; itemFromBackup: PersistentVolumeClaim; restore: Restore }
type Filling = RestoreDecision & { kind: 'restore' }

async function fill(deps: ActionDeps, asked: Asked, log: ActionLog): Promise<RestoreExecuted> {
  const { item, itemFromBackup, restore } = asked
  const namespace = targetNamespace(restore, item.metadata.namespace ?? '')
  const volumeName = restoredVolumeName(restore.metadata.uid, itemFromBackup.metadata.uid)
  // The second call of one chain gets the item that the first has returned.
  if (item.spec?.volumeName === volumeName) {
    warnOfSecondPlugin(item, log)
    return answered(item)
  }
  const decision = decideRestore({
    stored: storedSnapshot(itemFromBackup),
    restore,
    backupLabel: labelValue(String(restore.spec?.backupName ?? '')),
    targetExists: (await readTarget(deps, item, namespace)) !== undefined,
  })
  const words = 'message' in decision ? `claim ${namespace}/${item.metadata.name}: ${decision.message}` : ''
  switch (decision.kind) {
    case 'fail':
      throw new TerminalError(decision.reason, words)
    case 'beside':
      log.warn(`${decision.reason}: ${words}`)
      return answered(besideTarget(item, restore, volumeName))
    case 'leave':
      log[decision.level](`${decision.reason}: ${words}`)
      return answered(withoutBlob(item))
    case 'restore':
      return await startRestore(deps, { ...asked, namespace, volumeName, decision }, log)
  }
}

/**
 * The item is not skipped: Velero finds the existing claim and counts a warning, which users see. If the claim is gone by then, the new claim
 * waits for a volume that never comes, and does not become an empty one that looks restored. An update of the existing claim must not
 * change its volume.
 */
function besideTarget(item: PersistentVolumeClaim, restore: Restore, volumeName: string): PersistentVolumeClaim {
  const claim = withoutBlob(item)
  if (restore.spec?.existingResourcePolicy === 'update') return claim
  return { ...claim, spec: { ...claim.spec, volumeName } }
}

async function readTarget(
  deps: ActionDeps,
  item: PersistentVolumeClaim,
  namespace: string,
): Promise<PersistentVolumeClaim | undefined> {
  if (!isObjectName(item.metadata.name)) throw new TerminalError('VeleroObjectInvalid', 'a stored claim has no name')
  return await deps.cluster.read('PersistentVolumeClaim', namespace, item.metadata.name)
}

async function startRestore(
  deps: ActionDeps,
  given: Asked & { namespace: string; volumeName: string; decision: Filling },
  log: ActionLog,
): Promise<RestoreExecuted> {
  const { item, itemFromBackup, restore, namespace, volumeName, decision } = given
  const className = await classFor(deps, itemFromBackup)
  const backup = await requireBackup(deps, restore)
  const wanted = cloneOf({
    restore,
    claimUid: itemFromBackup.metadata.uid,
    namespace,
    snapshotID: decision.snapshotID,
    metadata: movedMetadata(decision.metadata, namespace, className),
    backupRepository: await knownRepository(deps, decision.stored, backup, log),
    restoreLabel: labelValue(restore.metadata.name),
    nowMs: deps.clock.nowMs(),
  })
  const own = (found: CloneFromSnapshot) =>
    isOfRestore(found, restore) && found.spec?.snapshotID === decision.snapshotID
  const { object } = await findOrCreate(deps, 'CloneFromSnapshot', wanted, own)
  const operationId = formatOperationId({ namespace, name: object.metadata.name })
  log.info(`asked for CloneFromSnapshot ${operationId}; the claim waits for PersistentVolume ${volumeName}`)
  return { ...answered(waitingClaim(item, { volumeName, className, clone: object })), operationId }
}

/** By the class in the backup: Velero's own action may have changed the item's already, and a class must be mapped only once. */
async function classFor(deps: ActionDeps, itemFromBackup: PersistentVolumeClaim): Promise<string | undefined> {
  const maps = await deps.cluster.list('ConfigMap', {
    namespace: deps.veleroNamespace,
    labelSelector: CLASS_MAP_SELECTOR,
  })
  const mapped = mappedClass(maps, itemFromBackup.spec?.storageClassName)
  if (mapped === undefined || (await deps.cluster.read('StorageClass', undefined, mapped)) !== undefined) return mapped
  throw new TerminalError('StorageClassNotFound', `StorageClass ${mapped}, to which a ConfigMap maps, does not exist`)
}

async function requireBackup(deps: ActionDeps, restore: Restore): Promise<Backup> {
  const name = restore.spec?.backupName
  const backup = isObjectName(name) ? await deps.cluster.read('Backup', deps.veleroNamespace, name) : undefined
  if (backup !== undefined) return backup
  throw new TerminalError(
    'VeleroBackupMissing',
    `Backup ${JSON.stringify(name)?.slice(0, 80)} of the Restore does not exist`,
  )
}

function movedMetadata(metadata: string, namespace: string, className: string | undefined): string {
  const claim = decodeClaimMetadata(metadata)
  const spec = { ...claim.spec, ...(className === undefined ? {} : { storageClassName: className }) }
  return encodeClaimMetadata({ ...claim, metadata: { ...claim.metadata, namespace }, spec })
}

async function progress(deps: ActionDeps, operationId: string, restore: Restore): Promise<OperationProgress> {
  const nowMs = deps.clock.nowMs()
  try {
    const clone = await findClone(deps, operationId, restore)
    if (clone === undefined) return failedOperation(missing(operationId), nowMs)
    await noteKnown(deps, 'CloneFromSnapshot', clone)
    return restoreState(clone, nowMs)
  } catch (error) {
    if (error instanceof DormouseError) return unknownOperation(`${error.reason}: ${error.message}`, nowMs)
    throw error
  }
}

async function cancel(deps: ActionDeps, operationId: string, restore: Restore, log: ActionLog): Promise<void> {
  const told = await stop(deps, {
    kind: 'CloneFromSnapshot',
    find: () => findClone(deps, operationId, restore),
    isOver: isCloneEnded,
    spec: { cloneCancel: true },
  })
  if (told === undefined) log.info(`nothing to cancel: ${missing(operationId)}`)
  if (told === true) log.info(`told CloneFromSnapshot ${operationId} to stop`)
}

/** Only a clone of this very Restore: an id could name any object. */
async function findClone(
  deps: ActionDeps,
  operationId: string,
  restore: Restore,
): Promise<CloneFromSnapshot | undefined> {
  const place = parseOperationId(operationId)
  if (place === undefined) return undefined
  const clone = await deps.cluster.read('CloneFromSnapshot', place.namespace, place.name)
  return clone !== undefined && isOfRestore(clone, restore) ? clone : undefined
}

function missing(operationId: string): string {
  return `no CloneFromSnapshot of this Restore is called ${JSON.stringify(operationId.slice(0, 320))}`
}
