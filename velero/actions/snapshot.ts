// The Snapshot of one claim for one Backup: asked for once, and waited for only until the disk's snapshot is taken.

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

/** Twice, at one time or after a death in between: one Snapshot. What it was asked with first stays. */
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
 * Hooks of the pods hold their files still only while this item is at work, so the disk's snapshot is waited for, the data is not.
 * How a Snapshot that has failed went on is the operation's to tell: as an error here it would keep the claim out of the backup.
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
