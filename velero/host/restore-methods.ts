// v2.RestoreItemAction.

import type { Restore } from '../actions.ts'
import { askProgress } from './ask-progress.ts'
import { itemAnswer, nameOf, readItem, readSentItem } from './items.ts'
import type { HostLog } from './log.ts'
import type { Message } from './messages.ts'
import type { Registry } from './registry.ts'
import { type Method, unary } from './rpc.ts'
import { callLimitMs, within } from './time-limit.ts'

const SERVICE = '/v2.RestoreItemAction'
const KIND = 'RestoreItemActionV2'

export function restoreMethods(registry: Registry, log: HostLog): Method[] {
  return [
    unary(
      `${SERVICE}/AppliesTo`,
      'v2.RestoreItemActionAppliesToRequest',
      'v2.RestoreItemActionAppliesToResponse',
      async ({ plugin }) => ({ ResourceSelector: await registry.find(KIND, plugin).appliesTo() }),
    ),
    unary(
      `${SERVICE}/Execute`,
      'v2.RestoreItemActionExecuteRequest',
      'v2.RestoreItemActionExecuteResponse',
      (request) => execute(request, registry, log),
    ),
    unary(
      `${SERVICE}/Progress`,
      'v2.RestoreItemActionProgressRequest',
      'v2.RestoreItemActionProgressResponse',
      async ({ plugin, operationID, restore }) => {
        const action = registry.find(KIND, plugin)
        const run = readItem<Restore>(restore, 'restore')
        const ask = () => action.progress(operationID, run, log.forPlugin(plugin))
        return { progress: await askProgress(plugin, operationID, log, ask) }
      },
    ),
    unary(
      `${SERVICE}/Cancel`,
      'v2.RestoreItemActionCancelRequest',
      'google.protobuf.Empty',
      async ({ plugin, operationID, restore }) => {
        const action = registry.find(KIND, plugin)
        const run = readItem<Restore>(restore, 'restore')
        const work = () => action.cancel(operationID, run, log.forPlugin(plugin))
        await within(callLimitMs(run), `cancel of ${operationID}`, work)
        return {}
      },
    ),
    // Velero calls this only after an Execute that asked to wait, and no action here does.
    unary(
      `${SERVICE}/AreAdditionalItemsReady`,
      'v2.RestoreItemActionItemsReadyRequest',
      'v2.RestoreItemActionItemsReadyResponse',
      async ({ plugin }) => {
        registry.find(KIND, plugin)
        return { ready: true }
      },
    ),
  ]
}

async function execute(
  { plugin, item, restore, itemFromBackup }: Message<'v2.RestoreItemActionExecuteRequest'>,
  registry: Registry,
  log: HostLog,
): Promise<Message<'v2.RestoreItemActionExecuteResponse'>> {
  const action = registry.find(KIND, plugin)
  const sent = readSentItem(item)
  const original = readItem(itemFromBackup, 'itemFromBackup')
  const run = readItem<Restore>(restore, 'restore')
  const work = () => action.execute(sent.item, original, run, log.forPlugin(plugin))
  const done = await within(callLimitMs(run), `${plugin} for ${nameOf(sent.item)}`, work)
  return {
    item: itemAnswer(plugin, done.item, sent),
    additionalItems: done.additionalItems,
    skipRestore: done.skipRestore,
    operationID: done.operationId,
    waitForAdditionalItems: false,
    additionalItemsReadyTimeout: { seconds: 0, nanos: 0 },
  }
}
