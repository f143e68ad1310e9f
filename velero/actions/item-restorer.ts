// The RestoreItemAction on everything that is not a volume: leaves out what a restore must leave out, and removes fields that it must not
// restore.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/types.ts'
import type { RestoreItemAction } from '../actions.ts'
import { ACTION_NAMES } from '../domain/names.ts'
import { isSupervisorOwn, SUPERVISOR_OWN, withoutOldVm } from '../domain/supervisor.ts'
import { everyOne } from './applies-to.ts'
import { leaveOut } from './blocked.ts'
import { type ActionDeps, patient } from './deps.ts'
import { answered, WITHOUT_OPERATION } from './restored.ts'
import { blockedKindsOf } from './settings.ts'

export function itemRestorer(given: ActionDeps, { name }: { name?: string } = {}): RestoreItemAction {
  const blocked = blockedKindsOf(patient(given))
  return {
    kind: 'RestoreItemActionV2',
    name: name ?? ACTION_NAMES.itemRestorer,
    appliesTo: async () => everyOne(['pods', ...SUPERVISOR_OWN, ...(await blocked()).resources]),
    execute: async (item, _itemFromBackup, _restore, log) => {
      if (isPod(item)) return answered(withoutOldVm(item))
      // A backup from before the kind was blocked may contain it.
      if (!isSupervisorOwn(item)) leaveOut(item, await blocked(), log)
      else log.info(`${item.kind} ${placeOf(item)} is left out: the Supervisor makes it`)
      return answered(item, { skipRestore: true })
    },
    ...WITHOUT_OPERATION,
  }
}

function isPod(item: KubeObject): item is Pod {
  return item.apiVersion === 'v1' && item.kind === 'Pod'
}

function placeOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`
}
