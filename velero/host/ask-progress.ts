// Asks an action for the progress of its operation, and always returns an answer.

import type { OperationProgress } from '../actions.ts'
import type { HostLog } from './log.ts'
import type { Message } from './messages.ts'
import { PROGRESS_LIMIT_MS, progressOfError, wireProgress } from './progress.ts'
import { within } from './time-limit.ts'

export async function askProgress(
  plugin: string,
  operationId: string,
  log: HostLog,
  ask: () => Promise<OperationProgress>,
): Promise<Message<'generated.OperationProgress'>> {
  try {
    return wireProgress(await within(PROGRESS_LIMIT_MS, `progress of ${operationId}`, ask))
  } catch (error) {
    log.say('warn', `progress of ${operationId} is not known`, { plugin, error })
    return wireProgress(progressOfError(error))
  }
}
