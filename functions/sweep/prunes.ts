// Prunes that are not through: by the schedule they would be gone on with a day later.

import { leaseState } from '#shared/domain/lease.ts'
import { isPruning, MAINTENANCE_LEASE } from '#shared/domain/maintenance.ts'
import type { SweepDeps } from './handler.ts'

/** Wakes maintenance once, whatever the number of them: it goes on with all. false: there is nothing to go on with. */
export async function wakeForPrunes(
  deps: Pick<SweepDeps, 'cluster' | 'clock' | 'settings' | 'wake'>,
): Promise<boolean> {
  const { cluster, clock, settings, wake } = deps
  const repositories = await cluster.list('BackupRepository')
  const unfinished = repositories.find((repository) => isPruning(repository.status?.conditions))
  if (unfinished === undefined) return false
  const lease = await cluster.read('Lease', settings.veleroNamespace, MAINTENANCE_LEASE)
  if (leaseState(lease, '', clock.nowMs()) === 'held') return false
  await wake('maintenance', { kind: 'BackupRepository', namespace: undefined, name: unfinished.metadata.name })
  return true
}
