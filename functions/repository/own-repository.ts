// The BackupRepository of a claim: made, brought up to date and deleted only when it is that claim's.

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

/** undefined: there is none, or another one has its name. */
export async function findOwn(deps: StepDeps, claim: BackupRepositoryClaim): Promise<BackupRepository | undefined> {
  const repository = await deps.cluster.read('BackupRepository', undefined, repositoryNameOf(claim))
  const namespace = claimNamespace(claim, deps.settings.veleroNamespace)
  return repository !== undefined && isMadeFor(repository, claim, namespace) ? repository : undefined
}

/** TerminalError `RepositoryNotOwn`: it was deleted in this very moment, and the next look makes it anew. */
export async function requireOwn(deps: StepDeps, claim: BackupRepositoryClaim): Promise<BackupRepository> {
  const own = await findOwn(deps, claim)
  if (own !== undefined) return own
  throw notOwn(`BackupRepository ${repositoryNameOf(claim)} was made for another claim`)
}

/**
 * An earlier version left no mark, or did not say which repository it is: such a one is looked at again, as its parameters may be a tenant's,
 * and as nobody could tell later whether a place that its location was moved to holds the same one.
 */
export async function hasMarked(deps: StepDeps, claim: BackupRepositoryClaim): Promise<boolean> {
  const own = await findOwn(deps, claim)
  return own !== undefined && claimNamespaceOf(own) !== undefined && isText(own.status?.repositoryId)
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}

/** Repeatable: the name is made from the claim's UID, and what is there already gets the terms. TerminalError `RepositoryNotOwn`. */
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

/** A key that the terms do not have is taken away, or what an earlier version copied from a tenant would stay. */
async function bringUpToDate(
  deps: StepDeps,
  claim: BackupRepositoryClaim,
  { follows }: Terms,
  wanted: { repopsitoryParameters: Record<string, string>; allowedNamespaces: string[]; metadata: object },
): Promise<void> {
  const own = await requireOwn(deps, claim)
  const before: Record<string, string> = own.repopsitoryParameters ?? {}
  const change = parametersChange(before, wanted.repopsitoryParameters)
  // The location may have been edited or be gone since: that it was followed stays true of the same parameters.
  const kept = change === undefined ? own.status?.storageLocation : undefined
  // What an operator writes anew is meant, and may be another repository; a location's edit has to lead to the same one.
  const isNewWord = follows === undefined && change !== undefined
  const status = { storageLocation: follows ?? kept ?? null, ...(isNewWord ? { repositoryId: null } : {}) }
  await deps.cluster.patch('BackupRepository', own, { ...wanted, repopsitoryParameters: change ?? before, status })
}

/**
 * Only the Kubernetes object goes: no data in the bucket is ever touched by this
 * (docs/operations/verify-and-recover.md#what-the-loss-of-a-kubernetes-object-means).
 */
export async function removeOwn(deps: StepDeps, claim: BackupRepositoryClaim): Promise<void> {
  const own = await findOwn(deps, claim)
  if (own !== undefined) await deps.cluster.delete('BackupRepository', own)
}

function notOwn(why: string): TerminalError {
  return new TerminalError('RepositoryNotOwn', `${why}: make a new BackupRepositoryClaim`)
}
