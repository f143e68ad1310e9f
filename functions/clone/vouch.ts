// Checks whether an operator vouches for a restore. This is required where the user's ResourceQuota would not count the disk
// (docs/design/0006-staging.md), because a tenant can write the labels and annotations of the clone and its claim.

import { isObjectName } from '#shared/api/names.ts'
import type { Backup, CloneFromSnapshot, Download, PersistentVolumeClaim, Restore } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { openRestore } from '#shared/controllers/restore-permit.ts'
import { actorOf } from '#shared/domain/authority.ts'
import { backedUpOf } from '#shared/domain/backed-up.ts'
import { coversNamespace, mapsTo, reachOf, sourcesOf } from '#shared/domain/restore-scope.ts'
import { isOwnClaim } from '#shared/domain/staging.ts'
import { RetryableError } from '#shared/kernel/errors.ts'

/**
 * The check before the root is opened: an open Restore, or its Backup, names the clone's namespace, and the claim was made for this clone.
 */
export async function isNamespaceNamed(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  claim: PersistentVolumeClaim,
): Promise<boolean> {
  const own = clone.metadata.namespace ?? ''
  const restore = isOwnClaim(claim, clone) ? await openRestore(deps, clone) : undefined
  if (restore === undefined) return false
  const sources = sourcesOf(restore, own)
  if (sources.some((one) => reachOf(restore, one) === 'named')) return true
  const left = sources.filter((one) => reachOf(restore, one) === 'all')
  if (left.some((one) => mapsTo(restore, one, own))) return true
  const backup = left.length === 0 ? undefined : await readBackup(deps, restore)
  return backup !== undefined && left.some((one) => reachOf(backup, one) === 'named')
}

/** In a cluster without Velero its kinds are not served. */
async function readBackup({ cluster, settings }: StepDeps, restore: Restore): Promise<Backup | undefined> {
  const name = restore.spec?.backupName
  try {
    return isObjectName(name) ? await cluster.read('Backup', settings.veleroNamespace, name) : undefined
  } catch (error) {
    if (error instanceof RetryableError && error.reason === 'KubernetesKindMissing') return undefined
    throw error
  }
}

/**
 * The check after the root was opened: the root belongs to this claim, and the open Restore uses the Backup that the root names. An
 * operator needs no Restore.
 */
export async function isClaimOfRestore(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  claim: PersistentVolumeClaim,
  download: Download,
): Promise<boolean> {
  if (actorOf(clone, deps.settings.veleroNamespace).kind === 'operator') return true
  const { claim: saved = '', backup = '' } = backedUpOf(download) ?? {}
  const restore = isOwnClaim(claim, clone) ? await openRestore(deps, clone) : undefined
  if (restore === undefined || backup === '' || restore.spec?.backupName !== backup) return false
  return sourcesOf(restore, clone.metadata.namespace ?? '').some(
    (one) => coversNamespace(restore, one) && saved === `${one}/${claim.metadata.name}`,
  )
}
