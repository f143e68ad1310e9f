// Continues unfinished prunes, which the schedule alone would continue a day later.

import { leaseState } from '#shared/domain/lease.ts'
import { isPruning, MAINTENANCE_LEASE } from '#shared/domain/maintenance.ts'
import type { SweepDeps } from './handler.ts'

/** Wakes maintenance once for all unfinished prunes. false: there is nothing to continue, or maintenance is running. */
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
