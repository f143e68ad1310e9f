// v2.BackupItemAction.

import type { Backup } from '../actions.ts'
import { askProgress } from './ask-progress.ts'
import { itemAnswer, nameOf, readItem, readSentItem } from './items.ts'
import type { HostLog } from './log.ts'
import type { Message } from './messages.ts'
import type { Registry } from './registry.ts'
import { type Method, unary } from './rpc.ts'
import { callLimitMs, within } from './time-limit.ts'

const SERVICE = '/v2.BackupItemAction'
const KIND = 'BackupItemActionV2'

export function backupMethods(registry: Registry, log: HostLog): Method[] {
  return [
    unary(
      `${SERVICE}/AppliesTo`,
      'v2.BackupItemActionAppliesToRequest',
      'v2.BackupItemActionAppliesToResponse',
      async ({ plugin }) => ({ ResourceSelector: await registry.find(KIND, plugin).appliesTo() }),
    ),
    unary(`${SERVICE}/Execute`, 'v2.ExecuteRequest', 'v2.ExecuteResponse', (request) =>
      execute(request, registry, log),
    ),
    unary(
      `${SERVICE}/Progress`,
      'v2.BackupItemActionProgressRequest',
      'v2.BackupItemActionProgressResponse',
      async ({ plugin, operationID, backup }) => {
        const action = registry.find(KIND, plugin)
        const run = readItem<Backup>(backup, 'backup')
        const ask = () => action.progress(operationID, run, log.forPlugin(plugin))
        return { progress: await askProgress(plugin, operationID, log, ask) }
      },
    ),
    unary(
      `${SERVICE}/Cancel`,
      'v2.BackupItemActionCancelRequest',
      'google.protobuf.Empty',
      async ({ plugin, operationID, backup }) => {
        const action = registry.find(KIND, plugin)
        const run = readItem<Backup>(backup, 'backup')
        const work = () => action.cancel(operationID, run, log.forPlugin(plugin))
        await within(callLimitMs(run), `cancel of ${operationID}`, work)
        return {}
      },
    ),
  ]
}

async function execute(
  { plugin, item, backup }: Message<'v2.ExecuteRequest'>,
  registry: Registry,
  log: HostLog,
): Promise<Message<'v2.ExecuteResponse'>> {
  const action = registry.find(KIND, plugin)
  const sent = readSentItem(item)
  const run = readItem<Backup>(backup, 'backup')
  const what = `${plugin} for ${nameOf(sent.item)}`
  const work = () => action.execute(sent.item, run, log.forPlugin(plugin))
  const done = await within(callLimitMs(run), what, work)
  return {
    item: itemAnswer(plugin, done.item, sent),
    additionalItems: done.additionalItems,
    operationID: done.operationId,
    postOperationItems: done.postOperationItems,
  }
}
