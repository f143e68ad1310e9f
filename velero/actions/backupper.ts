// The BackupItemAction on claims: requests a backup of the disk from the functions and returns at once; Velero then polls the progress.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isNamespaceName, isObjectName } from '#shared/api/names.ts'
import type { Backup, PersistentVolume, PersistentVolumeClaim } from '#shared/api/types.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { ActionLog, BackupExecuted, BackupItemAction, ResourceIdentifier } from '../actions.ts'
import { isBlobOf, peekBlob, withBlob, withoutBlob } from '../domain/blob.ts'
import { withoutCsiMarks } from '../domain/csi.ts'
import { ACTION_NAMES, formatOperationId, SKIP_FROM_BACKUP_ANNOTATION, snapshotName } from '../domain/names.ts'
import { isSnapshotOf } from '../domain/requests.ts'
import { type ClaimDecision, decideClaim, withoutVolume } from '../domain/selection.ts'
import { isFinalizing } from '../domain/times.ts'
import { everyOne } from './applies-to.ts'
import { leaveOut } from './blocked.ts'
import { leftToCsi } from './csi.ts'
import { type ActionDeps, patient } from './deps.ts'
import { labelValue } from './digest.ts'
import { type FileSystemPodOf, fileSystemPods } from './file-system-pods.ts'
import { cancelOperation, operationProgress } from './operation.ts'
import { blockedKindsOf, readFeatures } from './settings.ts'
import { awaitTaken, requestSnapshot } from './snapshot.ts'
import { fieldsOf, warnOfSecondPlugin } from './twice.ts'
import { markTaken } from './volume.ts'
import { doubtfulPolicyOf } from './volume-policies.ts'

export function pvcBackupper(given: ActionDeps, { name }: { name?: string } = {}): BackupItemAction {
  const patientDeps = patient(given)
  const deps = { ...patientDeps, fileSystemPodOf: fileSystemPods(patientDeps) }
  const blocked = blockedKindsOf(deps)
  return {
    kind: 'BackupItemActionV2',
    name: name ?? ACTION_NAMES.backupper,
    appliesTo: async () => everyOne(['persistentvolumeclaims', 'persistentvolumes', ...(await blocked()).resources]),
    execute: async (item, backup, log) => {
      if (isClaim(item)) return await backUp(deps, requireNames(item), backup, log)
      if (isVolume(item)) return unchanged(await markTaken(deps, item, backup))
      leaveOut(item, await blocked(), log)
      return markedToSkip(item)
    },
    // Without retries: Velero asks again in ten seconds.
    progress: (operationId, backup) => operationProgress(given, operationId, backup),
    cancel: (operationId, backup, log) => cancelOperation(deps, operationId, backup, log),
  }
}

function isClaim(item: KubeObject): item is PersistentVolumeClaim {
  return item.apiVersion === 'v1' && item.kind === 'PersistentVolumeClaim'
}

function isVolume(item: KubeObject): item is PersistentVolume {
  return item.apiVersion === 'v1' && item.kind === 'PersistentVolume'
}

function requireNames(claim: PersistentVolumeClaim): PersistentVolumeClaim {
  if (isNamespaceName(claim.metadata.namespace) && isObjectName(claim.metadata.name)) return claim
  throw new TerminalError('VeleroObjectInvalid', 'the claim that Velero sent has no usable name')
}

type BackupDeps = ActionDeps & { fileSystemPodOf: FileSystemPodOf }

async function backUp(
  deps: BackupDeps,
  claim: PersistentVolumeClaim,
  backup: Backup,
  log: ActionLog,
): Promise<BackupExecuted> {
  if (isFinalizing(backup)) return await finalize(deps, claim, backup, log)
  if (isDoneBefore(claim, backup, log)) return unchanged(claim)
  const features = await readFeatures(deps)
  const decision = await decide(deps, claim, backup, features.csiMigration)
  if (decision.kind === 'skip') return skipped(claim, decision, log)
  if (decision.kind === 'fail') throw failure(claim, decision)
  const left = await leftToCsi(deps, claim, backup, log)
  if (left !== undefined) return skipped(claim, left, log)
  if (decision.doubt !== undefined) warnOfDoubt(claim, decision.doubt, log)
  const found = await requestSnapshot(deps, { claim, backup, localMode: features.localMode }, log)
  const snapshot = await awaitTaken(deps, found, backup, log)
  return {
    item: withBlob(withoutCsiMarks(claim), snapshot, deps.pluginVersion),
    additionalItems: [volumeItem(decision.volumeName)],
    operationId: formatOperationId({ namespace: claim.metadata.namespace ?? '', name: snapshot.metadata.name }),
    // Not the claim: Velero would process its PV with it, and Velero's finalizer (up to 1.18.3) always panics at a PV (docs/design/0003).
    postOperationItems: [],
  }
}

/** The second call of one chain gets the item that the first has returned. A second operation would be counted in addition. */
function isDoneBefore(claim: PersistentVolumeClaim, backup: Backup, log: ActionLog): boolean {
  const stored = peekBlob(claim)
  if (stored === undefined) return false
  const isOwn = stored.name === snapshotName(backup.metadata.uid, claim.metadata.uid)
  if (isOwn || isBlobOf(stored, labelValue(backup.metadata.name))) warnOfSecondPlugin(claim, log)
  return isOwn
}

/** Reads Pods and PV only if they can change the decision. */
async function decide(
  deps: BackupDeps,
  claim: PersistentVolumeClaim,
  backup: Backup,
  csiMigration: boolean,
): Promise<ClaimDecision> {
  const early = withoutVolume({ claim, backup })
  if (early !== undefined) return early
  const [volume, fileSystemPod] = await Promise.all([
    deps.cluster.read('PersistentVolume', undefined, requireVolumeName(claim)),
    deps.fileSystemPodOf(claim, backup),
  ])
  const doubtfulPolicy = fileSystemPod === undefined ? undefined : await doubtfulPolicyOf(deps, backup)
  return decideClaim({ claim, volume, fileSystemPod, doubtfulPolicy, backup, csiMigration })
}

function requireVolumeName(claim: PersistentVolumeClaim): string {
  const volumeName = claim.spec?.volumeName
  if (isObjectName(volumeName)) return volumeName
  throw new TerminalError('VeleroObjectInvalid', `claim ${placeOf(claim)} names no usable PersistentVolume`)
}

/** The operation is over: only the item that the backup stores is updated. */
async function finalize(
  deps: BackupDeps,
  claim: PersistentVolumeClaim,
  backup: Backup,
  log: ActionLog,
): Promise<BackupExecuted> {
  const name = snapshotName(backup.metadata.uid, claim.metadata.uid)
  const snapshot = await deps.cluster.read('Snapshot', claim.metadata.namespace, name)
  if (snapshot !== undefined && isSnapshotOf(snapshot, claim, backup))
    return unchanged(withBlob(withoutCsiMarks(claim), snapshot, deps.pluginVersion))
  const { csiMigration } = await readFeatures(deps)
  const decision = await decide(deps, claim, backup, csiMigration)
  if (decision.kind === 'skip') return skipped(claim, decision, log)
  const left = await leftToCsi(deps, claim, backup, log)
  if (left !== undefined) return skipped(claim, left, log)
  // An error makes Velero keep the claim as the first call has stored it; without an error, Velero would overwrite the blob.
  throw new TerminalError('SnapshotGone', `Snapshot ${claim.metadata.namespace}/${name} of ${placeOf(claim)} is gone`)
}

function skipped(
  claim: PersistentVolumeClaim,
  decision: { level: 'info' | 'warn'; reason: string; message: string },
  log: ActionLog,
): BackupExecuted {
  const words = `the disk of claim ${placeOf(claim)} is not backed up: ${decision.reason}: ${decision.message}`
  log[decision.level](words, { ...fieldsOf(claim), reason: decision.reason })
  // With a blob that an earlier restore has left on the claim, this backup would refer to another backup's data.
  return unchanged(withoutBlob(claim))
}

function warnOfDoubt(
  claim: PersistentVolumeClaim,
  { reason, message }: { reason: string; message: string },
  log: ActionLog,
) {
  log.warn(`${reason}: claim ${placeOf(claim)}: ${message}`, { ...fieldsOf(claim), reason })
}

function markedToSkip(item: KubeObject): BackupExecuted {
  const annotations = { ...item.metadata.annotations, [SKIP_FROM_BACKUP_ANNOTATION]: 'true' }
  return unchanged({ ...item, metadata: { ...item.metadata, annotations } })
}

function failure(
  claim: PersistentVolumeClaim,
  { reason, message }: { reason: string; message: string },
): TerminalError {
  return new TerminalError(reason, `claim ${placeOf(claim)} cannot be backed up: ${message}`)
}

function unchanged(item: KubeObject): BackupExecuted {
  return { item, additionalItems: [], operationId: '', postOperationItems: [] }
}

function volumeItem(name: string): ResourceIdentifier {
  return { group: '', resource: 'persistentvolumes', namespace: '', name }
}

function placeOf({ metadata }: KubeObject): string {
  return `${metadata.namespace}/${metadata.name}`
}
