// Decides whether a backup may be restored into a namespace. The final check uses the opened root, at each slice before a byte is written.
// An earlier check, as far as it is possible without the root, runs before anything is made (docs/design/0004-trust.md).

import { parseNamespacedName } from '#shared/api/names.ts'
import type { BackupRepository, CloneFromSnapshot, Download, Restore } from '#shared/api/types.ts'
import { type Actor, actorOf, decideRestore, namespaceOf, requirePermitted } from '#shared/domain/authority.ts'
import { allowsNamespace, requireNamespace } from '#shared/domain/repository-use.ts'
import { coversClaims, coversNamespace, sourcesOf } from '#shared/domain/restore-scope.ts'
import { isDownloadOf } from '#shared/domain/staging.ts'
import { fateOf, type VeleroOwner, veleroOwnerOf } from '#shared/domain/velero-owner.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { BackupSummary } from '#shared/ports/mover.ts'
import type { StepDeps, VolumeDeps } from './deps.ts'

/** The Velero Restore that the clone was made for, while it is open and restores claims. undefined: there is none, so there is no proof. */
export async function openRestore(deps: StepDeps, clone: CloneFromSnapshot): Promise<Restore | undefined> {
  const owner = veleroOwnerOf({ ...clone, kind: 'CloneFromSnapshot' })
  const restore = owner === undefined ? undefined : await readRestore(deps, owner)
  if (owner === undefined || restore === undefined || fateOf(restore, owner).kind !== 'open') return undefined
  return coversClaims(restore, clone) ? restore : undefined
}

/** In a cluster without Velero the kind Restore is not served. */
async function readRestore({ cluster, settings }: StepDeps, { name }: VeleroOwner): Promise<Restore | undefined> {
  try {
    return await cluster.read('Restore', settings.veleroNamespace, name)
  } catch (error) {
    if (error instanceof RetryableError && error.reason === 'KubernetesKindMissing') return undefined
    throw error
  }
}

/**
 * Checks what is possible without the backup: the clone's namespace is allowed, or a Velero Restore maps an allowed namespace to it. The
 * namespace in the snapshotID is no proof, because the author of the clone wrote it. The root, which the Download reads, decides.
 */
export async function requireRestoreAllowed(deps: StepDeps, clone: CloneFromSnapshot): Promise<void> {
  const repository = await deps.cluster.read('BackupRepository', undefined, clone.spec.backupRepository)
  if (repository !== undefined)
    await requireAllowedFor(deps, actorOf(clone, deps.settings.veleroNamespace), repository, clone)
}

/**
 * The same check for a Download, before its repository is opened. If the repository is created later, or an allowance is withdrawn, the
 * next slice notices. `clone` is the object that the Download's reference names.
 */
export async function requireDownloadAllowed(
  deps: StepDeps,
  download: Download,
  clone: CloneFromSnapshot | undefined,
  repository: BackupRepository,
): Promise<void> {
  const own = ownClone(download, clone)
  await requireAllowedFor(deps, askerOf(download, own, deps.settings.veleroNamespace), repository, own)
}

async function requireAllowedFor(
  deps: StepDeps,
  actor: Actor,
  repository: BackupRepository,
  clone: CloneFromSnapshot | undefined,
): Promise<void> {
  if (actor.kind === 'operator' || allowsNamespace(repository, actor.namespace)) return
  const { namespace } = actor
  const restore = clone === undefined ? undefined : await openRestore(deps, clone)
  const isMapped =
    restore !== undefined &&
    sourcesOf(restore, namespace).some((one) => coversNamespace(restore, one) && allowsNamespace(repository, one))
  if (!isMapped) requireNamespace(repository, [namespace])
}

/** `clone` is the object that the Download's reference names. Throws TerminalError `NotPermitted`. */
export async function requireRestorePermit(
  deps: VolumeDeps,
  download: Download,
  clone: CloneFromSnapshot | undefined,
  repository: BackupRepository,
  { about }: BackupSummary,
): Promise<void> {
  const own = ownClone(download, clone)
  const actor = askerOf(download, own, deps.settings.veleroNamespace)
  if (actor.kind === 'operator') return
  const question = { actor, origin: about, clusterId: await deps.clusterId(), repository }
  if (decideRestore({ ...question, restore: undefined }).allowed) return
  const restore = own === undefined ? undefined : await openRestore(deps, own)
  const covers = restore !== undefined && coversNamespace(restore, namespaceOf(about) ?? '')
  const verdict = decideRestore({ ...question, restore: covers ? restore : undefined })
  requirePermitted(verdict, `the backup ${download.spec.snapshotID} cannot be restored for ${actor.namespace}`)
}

function ownClone(download: Download, clone: CloneFromSnapshot | undefined): CloneFromSnapshot | undefined {
  return clone !== undefined && isDownloadOf(download, clone) ? clone : undefined
}

/** Downloads lie in Velero's namespace and are trusted. A Download without a reference was made by hand in that namespace. */
function askerOf(download: Download, clone: CloneFromSnapshot | undefined, veleroNamespace: string): Actor {
  const text = download.spec?.clonefromSnapshotReference ?? ''
  if (text === '') return { kind: 'operator' }
  const reference = parseNamespacedName(text)
  if (reference === undefined)
    throw new TerminalError('NotPermitted', `spec.clonefromSnapshotReference names no CloneFromSnapshot`)
  return actorOf(clone ?? { ...download, metadata: reference }, veleroNamespace)
}
