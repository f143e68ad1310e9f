// The BackupRepository of a claim: made, brought up to date and deleted only when it is that claim's.

import type { KubeObject } from '#shared/api/kinds.ts'
import {
  CLAIM_NAMESPACE_ANNOTATION,
  claimNamespace,
  claimNamespaceOf,
  isMadeFor,
  repositoryNameOf,
  type Terms,
} from '#shared/domain/repository-claim.ts'
import { ConflictError, TerminalError } from '#shared/kernel/errors.ts'
import type { StepDeps } from '#shared/steps/deps.ts'

/** undefined: there is none, or another one has its name. */
export async function findOwn(deps: StepDeps, claim: KubeObject): Promise<KubeObject | undefined> {
  const repository = await deps.cluster.read('BackupRepository', undefined, repositoryNameOf(claim))
  const namespace = claimNamespace(claim, deps.settings.veleroNamespace)
  return repository !== undefined && isMadeFor(repository, claim, namespace) ? repository : undefined
}

/** An earlier version left no mark: such a one is looked at again, as its parameters may be a tenant's. */
export async function hasMarked(deps: StepDeps, claim: KubeObject): Promise<boolean> {
  const own = await findOwn(deps, claim)
  return own !== undefined && claimNamespaceOf(own) !== undefined
}

/** Repeatable: the name is made from the claim's UID, and what is there already gets the terms. TerminalError `RepositoryNotOwn`. */
export async function ensureOwn(deps: StepDeps, claim: KubeObject, terms: Terms): Promise<string> {
  const name = repositoryNameOf(claim)
  const given: unknown = claim['backupRepository'] ?? ''
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
    })
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    await bringUpToDate(deps, claim, { ...wanted, metadata: { annotations } })
  }
  return name
}

/** A key that the terms do not have is taken away, or what an earlier version copied from a tenant would stay. */
async function bringUpToDate(
  deps: StepDeps,
  claim: KubeObject,
  wanted: { repopsitoryParameters: Record<string, string>; allowedNamespaces: string[]; metadata: object },
): Promise<void> {
  const own = await findOwn(deps, claim)
  // Also when it was deleted in this very moment: the next look makes it anew.
  if (own === undefined) throw notOwn(`BackupRepository ${repositoryNameOf(claim)} was made for another claim`)
  const before: Record<string, string> = own['repopsitoryParameters'] ?? {}
  const gone = Object.keys(before).filter((key) => !Object.hasOwn(wanted.repopsitoryParameters, key))
  const parameters = { ...Object.fromEntries(gone.map((key) => [key, null])), ...wanted.repopsitoryParameters }
  await deps.cluster.patch('BackupRepository', own, { ...wanted, repopsitoryParameters: parameters })
}

/** Only the Kubernetes object goes: no data in the bucket is ever touched by this (design §3.10). */
export async function removeOwn(deps: StepDeps, claim: KubeObject): Promise<void> {
  const own = await findOwn(deps, claim)
  if (own !== undefined) await deps.cluster.delete('BackupRepository', own)
}

function notOwn(why: string): TerminalError {
  return new TerminalError('RepositoryNotOwn', `${why}: make a new BackupRepositoryClaim`)
}
