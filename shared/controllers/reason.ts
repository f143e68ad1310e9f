// The reason that a status shows for an error.

import { DormouseError } from '#shared/kernel/errors.ts'
import type { Log } from './deps.ts'

/** `InternalError` for an error that carries no reason: it is a fault of Dormouse, so its stack is logged (docs/operations/reasons.md). */
export function reasonOf(log: Log, error: Error): string {
  if (error instanceof DormouseError) return error.reason
  log.error({ err: error, reason: 'InternalError' }, 'the step failed unexpectedly')
  return 'InternalError'
}
