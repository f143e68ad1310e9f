// The reason that a status shows for an error.

import { DormouseError, reasonIn } from '#shared/kernel/errors.ts'
import type { Log } from './deps.ts'

/** As reasonIn. A fault of Dormouse is logged with its stack. */
export function reasonOf(log: Log, error: Error): string {
  const reason = reasonIn(error)
  if (!(error instanceof DormouseError)) log.error({ err: error, reason }, 'the step failed unexpectedly')
  return reason
}
