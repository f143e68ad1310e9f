// Does an operator vouch for this very restore? Asked where a disk would be made that the user's ResourceQuota does not count
// (docs/design/0006-staging.md): labels and annotations of the clone and of its claim are a tenant's word.

import { isObjectName } from '#shared/api/names.ts'
import type { Backup, CloneFromSnapshot, Download, PersistentVolumeClaim, Restore } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { openRestore } from '#shared/controllers/restore-permit.ts'
import { actorOf } from '#shared/domain/authority.ts'
import { backedUpOf } from '#shared/domain/backed-up.ts'
import { coversNamespace, mapsTo, reachOf, sourcesOf } from '#shared/domain/restore-scope.ts'
import { isOwnClaim } from '#shared/domain/staging.ts'
import { RetryableError } from '#shared/kernel/errors.ts'

/** Before the root is opened: an open Restore, it or its Backup, names the clone's namespace, and the claim was made for this clone. */
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

/** Without Velero its kinds are not served. */
async function readBackup({ cluster, settings }: StepDeps, restore: Restore): Promise<Backup | undefined> {
  const name = restore.spec?.backupName
  try {
    return isObjectName(name) ? await cluster.read('Backup', settings.veleroNamespace, name) : undefined
  } catch (error) {
    if (error instanceof RetryableError && error.reason === 'KubernetesKindMissing') return undefined
    throw error
  }
}

/** Once the root was opened: it is of this very claim, and the open Restore is of the Backup that it names. An operator needs no Restore. */
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
