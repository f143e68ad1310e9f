// generated.DeleteItemAction, of which only version 1 exists.

import type { Backup } from '../actions.ts'
import { nameOf, readItem } from './items.ts'
import type { HostLog } from './log.ts'
import type { Registry } from './registry.ts'
import { type Method, unary } from './rpc.ts'
import { callLimitMs, within } from './time-limit.ts'

const SERVICE = '/generated.DeleteItemAction'
const KIND = 'DeleteItemAction'

export function deleteMethods(registry: Registry, log: HostLog): Method[] {
  return [
    unary(
      `${SERVICE}/AppliesTo`,
      'generated.DeleteItemActionAppliesToRequest',
      'generated.DeleteItemActionAppliesToResponse',
      async ({ plugin }) => ({ ResourceSelector: await registry.find(KIND, plugin).appliesTo() }),
    ),
    unary(
      `${SERVICE}/Execute`,
      'generated.DeleteItemActionExecuteRequest',
      'generated.Empty',
      async ({ plugin, item, backup }) => {
        const action = registry.find(KIND, plugin)
        const deleted = readItem(item, 'item')
        const run = readItem<Backup>(backup, 'backup')
        const work = () => action.execute(deleted, run, log.forPlugin(plugin))
        await within(callLimitMs(run), `${plugin} for ${nameOf(deleted)}`, work)
        return {}
      },
    ),
  ]
}
