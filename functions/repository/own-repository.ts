// The BackupRepository of a claim. It is created, updated and deleted only if it belongs to that claim.

import type { BackupRepository, BackupRepositoryClaim } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import {
  CLAIM_NAMESPACE_ANNOTATION,
  claimNamespace,
  claimNamespaceOf,
  isMadeFor,
  parametersChange,
  repositoryNameOf,
  type Terms,
} from '#shared/domain/repository-claim.ts'
import { isNameTaken, TerminalError } from '#shared/kernel/errors.ts'

/** undefined: there is no such object, or the object with this name belongs to another claim. */
export async function findOwn(deps: StepDeps, claim: BackupRepositoryClaim): Promise<BackupRepository | undefined> {
  const repository = await deps.cluster.read('BackupRepository', undefined, repositoryNameOf(claim))
  const namespace = claimNamespace(claim, deps.settings.veleroNamespace)
  return repository !== undefined && isMadeFor(repository, claim, namespace) ? repository : undefined
}

/** Throws TerminalError `RepositoryNotOwn`: the object was deleted a moment ago, and the next delivery creates it again. */
export async function requireOwn(deps: StepDeps, claim: BackupRepositoryClaim): Promise<BackupRepository> {
  const own = await findOwn(deps, claim)
  if (own !== undefined) return own
  throw notOwn(`BackupRepository ${repositoryNameOf(claim)} was made for another claim`)
}

/**
 * An earlier version left no mark, or did not record which repository it opened. Such a BackupRepository is checked again: its parameters
 * may come from a tenant, and without an id it would be impossible to tell whether a moved location holds the same repository.
 */
export async function hasMarked(deps: StepDeps, claim: BackupRepositoryClaim): Promise<boolean> {
  const own = await findOwn(deps, claim)
  return own !== undefined && claimNamespaceOf(own) !== undefined && isText(own.status?.repositoryId)
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}

/** Repeatable: the name contains the claim's UID, and an existing object gets the terms. Throws TerminalError `RepositoryNotOwn`. */
export async function ensureOwn(deps: StepDeps, claim: BackupRepositoryClaim, terms: Terms): Promise<string> {
  const name = repositoryNameOf(claim)
  const given: unknown = claim.backupRepository ?? ''
  if (given !== '' && given !== name) throw notOwn(`the claim names another BackupRepository than ${name}`)
  const namespace = claimNamespace(claim, deps.settings.veleroNamespace)
  const wanted = {
    allowedNamespaces: terms.allowedNamespaces,
    repopsitoryParameters: terms.parameters,
  }
  const annotations = { [CLAIM_NAMESPACE_ANNOTATION]: namespace }
  try {
    await deps.cluster.create('BackupRepository', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'BackupRepository',
      metadata: { name, labels: { 'velero.io/exclude-from-backup': 'true' }, annotations },
      ...wanted,
      repositoryDriver: terms.driver,
      backupRepositoryClaim: claim.metadata.name,
      ...(terms.follows === undefined ? {} : { status: { storageLocation: terms.follows } }),
    })
  } catch (error) {
    if (!isNameTaken(error)) throw error
    await bringUpToDate(deps, claim, terms, { ...wanted, metadata: { annotations } })
  }
  return name
}

/** Removes keys that are not in the terms. Otherwise, keys that an earlier version copied from a tenant would stay. */
async function bringUpToDate(
  deps: StepDeps,
  claim: BackupRepositoryClaim,
  { follows }: Terms,
  wanted: { repopsitoryParameters: Record<string, string>; allowedNamespaces: string[]; metadata: object },
): Promise<void> {
  const own = await requireOwn(deps, claim)
  const before: Record<string, string> = own.repopsitoryParameters ?? {}
  const change = parametersChange(before, wanted.repopsitoryParameters)
  // The location may have been edited or deleted since. While the parameters are the same, they still come from that location.
  const kept = change === undefined ? own.status?.storageLocation : undefined
  // An operator who writes new settings does so on purpose, and they may lead to another repository. An edited location must lead to the
  // same one.
  const isNewWord = follows === undefined && change !== undefined
  const status = { storageLocation: follows ?? kept ?? null, ...(isNewWord ? { repositoryId: null } : {}) }
  await deps.cluster.patch('BackupRepository', own, { ...wanted, repopsitoryParameters: change ?? before, status })
}

/**
 * Deletes only the Kubernetes object. No data in the bucket is touched
 * (docs/operations/verify-and-recover.md#what-the-loss-of-a-kubernetes-object-means).
 */
export async function removeOwn(deps: StepDeps, claim: BackupRepositoryClaim): Promise<void> {
  const own = await findOwn(deps, claim)
  if (own !== undefined) await deps.cluster.delete('BackupRepository', own)
}

function notOwn(why: string): TerminalError {
  return new TerminalError('RepositoryNotOwn', `${why}: make a new BackupRepositoryClaim`)
}
