// The DeleteItemAction on claims: removes the data that the stored claim names, and reports success only when the data is gone.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Backup, DeleteSnapshot, PersistentVolumeClaim } from '#shared/api/types.ts'
import { clip } from '#shared/domain/conditions.ts'
import { deletePhase } from '#shared/domain/delete.ts'
import { deleteSnapshotOf, isDeleteOf, lacksRights } from '#shared/domain/delete-request.ts'
import { isClaimSnapshotId } from '#shared/domain/ids.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { ActionLog, DeleteItemAction } from '../actions.ts'
import { isBlobOf, type StoredSnapshot, storedSnapshot } from '../domain/blob.ts'
import { ACTION_NAMES } from '../domain/names.ts'
import { isSnapshotEnded } from '../domain/operation.ts'
import { resourceTimeoutMs } from '../domain/times.ts'
import { everyOne } from './applies-to.ts'
import { type ActionDeps, patient } from './deps.ts'
import { labelValue } from './digest.ts'
import { findOrCreate } from './find-or-create.ts'
import { knownRepository } from './repository.ts'
import { stop } from './stop.ts'

const LOOK_EVERY_MS = SECOND_MS

export function pvcDeleter(given: ActionDeps, { name }: { name?: string } = {}): DeleteItemAction {
  const deps = patient(given)
  return {
    kind: 'DeleteItemAction',
    name: name ?? ACTION_NAMES.deleter,
    appliesTo: async () => everyOne(['persistentvolumeclaims']),
    // Velero sends only items that `appliesTo` selects.
    execute: (item, backup, log) => remove(deps, item as PersistentVolumeClaim, backup, log),
  }
}

async function remove(deps: ActionDeps, claim: PersistentVolumeClaim, backup: Backup, log: ActionLog): Promise<void> {
  const stored = storedSnapshot(claim)
  if (stored === undefined) return
  const backupLabel = labelValue(backup.metadata.name)
  const { namespace = '' } = claim.metadata
  if (!isBlobOf(stored, backupLabel) || stored.namespace !== namespace)
    return log.warn(`Snapshot ${placeOf(stored)} is of another backup: its data stays`)
  const snapshotID = stored.snapshotID ?? (await idOfUnfinished(deps, stored, log))
  if (snapshotID === undefined) return log.info(`Snapshot ${placeOf(stored)} has stored nothing`)
  const backupRepository = await knownRepository(deps, stored, backup, log)
  const { veleroNamespace } = deps
  const wanted = deleteSnapshotOf({
    snapshotUid: stored.uid,
    snapshotID,
    backupRepository,
    veleroNamespace,
    namespace,
    backupLabel,
    backup: backup.metadata.name,
  })
  const own = (found: DeleteSnapshot) => isDeleteOf(found, wanted)
  const { object } = await findOrCreate(deps, 'DeleteSnapshot', wanted, own)
  if (lacksRights(object, wanted)) await giveRights(deps, wanted)
  await awaitRemoved(deps, object, backup)
  log.info(`the data of Snapshot ${placeOf(stored)} is removed`)
}

/** If an earlier release or the sweep made it: from now on it acts for the claim's namespace, in the Backup that is deleted. */
async function giveRights(deps: ActionDeps, { metadata }: KubeObject): Promise<void> {
  const { namespace, name, annotations } = metadata
  const inAnyVersion = { metadata: { namespace, name } } as DeleteSnapshot
  await deps.cluster.patch('DeleteSnapshot', inAnyVersion, { metadata: { annotations } })
}

/** For a backup that was stored before its disk snapshot was taken: the Snapshot may have the id by now; otherwise it is cancelled. */
async function idOfUnfinished(deps: ActionDeps, stored: StoredSnapshot, log: ActionLog): Promise<string | undefined> {
  const find = async () => {
    const snapshot = await deps.cluster.read('Snapshot', stored.namespace, stored.name)
    return snapshot?.metadata.uid === stored.uid ? snapshot : undefined
  }
  const snapshotID = (await find())?.status?.snapshotID
  if (isClaimSnapshotId(snapshotID)) return snapshotID
  const told = await stop(deps, { kind: 'Snapshot', find, isOver: isSnapshotEnded, spec: { snapshotCancel: true } })
  if (told === true) log.info(`told Snapshot ${placeOf(stored)} to stop`)
  return undefined
}

/** TerminalErrors `DeleteFailed`, `DeleteNotFinished`: the DeleteSnapshot stays, and the delete function continues with it. */
async function awaitRemoved(deps: ActionDeps, wanted: DeleteSnapshot, backup: Backup): Promise<void> {
  const { namespace, name } = wanted.metadata
  const limitMs = resourceTimeoutMs(backup)
  const fromMs = deps.clock.monotonicMs()
  for (let latest: DeleteSnapshot | undefined = wanted; ; ) {
    const said = latest === undefined ? 'it is gone' : saidBy(latest)
    const phase = latest === undefined ? undefined : deletePhase(latest)
    if (phase === 'Completed') return
    if (phase === 'Failed') throw new TerminalError('DeleteFailed', `DeleteSnapshot ${namespace}/${name}: ${said}`)
    if (phase === undefined || deps.clock.monotonicMs() - fromMs >= limitMs) {
      const words = `DeleteSnapshot ${namespace}/${name} is not done after ${limitMs / SECOND_MS} s`
      throw new TerminalError('DeleteNotFinished', `${words}, its data is not gone yet: ${said}`)
    }
    await deps.clock.sleep(LOOK_EVERY_MS)
    latest = await deps.cluster.read('DeleteSnapshot', namespace, name)
  }
}

function saidBy(object: DeleteSnapshot): string {
  const { phase, reason, message } = object.status ?? {}
  return clip([phase || 'New', reason, message].filter((part) => typeof part === 'string' && part !== '').join(': '))
}

function placeOf({ namespace, name }: { namespace: string; name: string }): string {
  return `${namespace}/${name}`
}
