// The Snapshot of one claim for one Backup: it is requested once, and the action waits only until the disk snapshot is taken.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Backup, PersistentVolumeClaim, Snapshot } from '#shared/api/types.ts'
import { seeSnapshot } from '#shared/domain/snapshot.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { ActionLog } from '../actions.ts'
import { snapshotName } from '../domain/names.ts'
import { isSnapshotOf, snapshotOf } from '../domain/requests.ts'
import { resourceTimeoutMs } from '../domain/times.ts'
import type { ActionDeps } from './deps.ts'
import { labelValue } from './digest.ts'
import { findOrCreate } from './find-or-create.ts'
import { repositoryFor } from './repository.ts'

const LOOK_EVERY_MS = SECOND_MS

type Wanted = { claim: PersistentVolumeClaim; backup: Backup; localMode: boolean }

/** Two calls, concurrent or after a crash in between, get one Snapshot. The parameters of the first call stay. */
export async function requestSnapshot(
  deps: ActionDeps,
  { claim, backup, localMode }: Wanted,
  log: ActionLog,
): Promise<Snapshot> {
  const namespace = claim.metadata.namespace ?? ''
  const name = snapshotName(backup.metadata.uid, claim.metadata.uid)
  const before = await deps.cluster.read('Snapshot', namespace, name)
  if (before !== undefined && isSnapshotOf(before, claim, backup)) {
    log.info(`goes on with Snapshot ${namespace}/${name}`)
    return before
  }
  const backupRepository = localMode ? '' : await repositoryFor(deps, backup, namespace, log)
  const backupLabel = labelValue(backup.metadata.name)
  const wanted = snapshotOf({ claim, backup, backupRepository, backupLabel, nowMs: deps.clock.nowMs() })
  const own = (object: Snapshot) => isSnapshotOf(object, claim, backup)
  const { object, created } = await findOrCreate(deps, 'Snapshot', wanted, own)
  log.info(`${created ? 'asked for' : 'goes on with'} Snapshot ${namespace}/${name}`)
  return object
}

/**
 * Hooks freeze the pods' file systems only while Velero processes this item, so the action waits for the disk snapshot and not for the data.
 * A failed Snapshot is reported by the operation's progress: an error here would keep the claim out of the backup.
 */
export async function awaitTaken(
  deps: ActionDeps,
  snapshot: Snapshot,
  backup: Backup,
  log: ActionLog,
): Promise<Snapshot> {
  const limitMs = resourceTimeoutMs(backup)
  const fromMs = deps.clock.monotonicMs()
  let latest = snapshot
  while (isAwaited(latest)) {
    if (deps.clock.monotonicMs() - fromMs >= limitMs) {
      log.warn(
        `no disk snapshot within ${limitMs / SECOND_MS} s: it comes later, without the hooks of the claim's pods`,
      )
      return latest
    }
    await deps.clock.sleep(LOOK_EVERY_MS)
    latest = await requireSnapshot(deps, snapshot)
  }
  return latest
}

function isAwaited(snapshot: Snapshot): boolean {
  const { phase } = seeSnapshot(snapshot)
  return phase === 'New' || phase === 'InProgress'
}

async function requireSnapshot(deps: ActionDeps, { metadata }: KubeObject): Promise<Snapshot> {
  const found = await deps.cluster.read('Snapshot', metadata.namespace, metadata.name)
  if (found !== undefined && found.metadata.uid === metadata.uid) return found
  throw new TerminalError(
    'SnapshotGone',
    `Snapshot ${metadata.namespace}/${metadata.name} was deleted while it was taken`,
  )
}
