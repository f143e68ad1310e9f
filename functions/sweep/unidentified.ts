// Repositories of an earlier version, which did not record which repository was opened and where its settings came from. Their claims are
// done, so no function would look at them again, and an edited location would not be followed.

import type { BackupRepository, BackupRepositoryClaim } from '#shared/api/types.ts'
import { startingElsewhere } from '#shared/domain/maintenance.ts'
import { claimNamespaceOf, isMadeFor } from '#shared/domain/repository-claim.ts'
import { stepOf } from '#shared/domain/step-label.ts'
import type { SweepDeps } from './handler.ts'

/** Per sweep: each is one read, and one event. */
const MOST = 16

type Deps = Pick<SweepDeps, 'cluster' | 'clock' | 'settings' | 'wake' | 'log'>

/** Wakes the repository function for each ready claim, so that it is checked once more. Returns how many were woken. */
export async function wakeForUnidentified(deps: Deps): Promise<number> {
  const unidentified = (await deps.cluster.list('BackupRepository')).filter(isUnidentified)
  let woken = 0
  // Starts at another position each time, so that repositories whose claim is gone do not delay the others.
  for (const repository of startingElsewhere(unidentified, deps.clock.nowMs()).slice(0, MOST)) {
    const claim = await readyClaimOf(deps, repository)
    if (claim === undefined) continue
    const { namespace, name } = claim.metadata
    const ref = { kind: 'BackupRepositoryClaim', namespace, name } as const
    await deps.wake('repository', ref)
    deps.log.info(ref, 'woke the repository function: an earlier version did not record which repository it is')
    woken++
  }
  return woken
}

function isUnidentified(repository: BackupRepository): boolean {
  return (repository.status?.repositoryId ?? '') === ''
}

/** Also undefined if the claim is unfinished: the sweep or an event wakes it in any case. */
async function readyClaimOf(
  { cluster, settings }: Deps,
  repository: BackupRepository,
): Promise<BackupRepositoryClaim | undefined> {
  const name: unknown = repository.backupRepositoryClaim
  if (typeof name !== 'string' || name === '') return undefined
  const namespace = claimNamespaceOf(repository) ?? settings.veleroNamespace
  const claim = await cluster.read('BackupRepositoryClaim', namespace, name)
  if (claim === undefined || stepOf(claim) !== 'done') return undefined
  return isMadeFor(repository, claim, namespace) ? claim : undefined
}
