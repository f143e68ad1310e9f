// The RestoreItemAction on everything that is no volume: what a restore must leave out, and what it must not bring back with it.

import type { KubeObject } from '#shared/api/kinds.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { ActionLog, RestoreExecuted, RestoreItemAction } from '../actions.ts'
import { type BlockedKinds, decideBlocked } from '../domain/blocked.ts'
import { ACTION_NAMES } from '../domain/names.ts'
import { isSupervisorOwn, SUPERVISOR_OWN, withoutOldVm } from '../domain/supervisor.ts'
import { everyOne } from './applies-to.ts'
import { type ActionDeps, patient } from './deps.ts'
import { blockedKindsOf } from './settings.ts'

export function itemRestorer(given: ActionDeps, { name }: { name?: string } = {}): RestoreItemAction {
  const blocked = blockedKindsOf(patient(given))
  return {
    kind: 'RestoreItemActionV2',
    name: name ?? ACTION_NAMES.itemRestorer,
    appliesTo: async () => everyOne(['pods', ...SUPERVISOR_OWN, ...(await blocked()).resources]),
    execute: async (item, _itemFromBackup, _restore, log) => {
      if (item.apiVersion === 'v1' && item.kind === 'Pod') return answered(withoutOldVm(item), false)
      if (!isSupervisorOwn(item)) return leaveOut(item, await blocked(), log)
      log.info(
        `${item.kind} ${item.metadata.namespace ?? ''}/${item.metadata.name} is left out: the Supervisor makes it`,
      )
      return answered(item, true)
    },
    progress: async () => {
      throw new Error('items that are no volumes start no operation')
    },
    cancel: async () => {},
  }
}

/** A backup from before its kind was blocked may hold it. */
function leaveOut(item: KubeObject, { strict }: BlockedKinds, log: ActionLog): RestoreExecuted {
  const decision = decideBlocked(item, strict)
  if (decision.kind === 'fail') throw new TerminalError('ResourceBlocked', decision.message)
  log[decision.level](decision.message)
  return answered(item, true)
}

function answered(item: KubeObject, skipRestore: boolean): RestoreExecuted {
  return { item, additionalItems: [], skipRestore, operationId: '' }
}
