// How a backup and a restore both treat an item of a blocked kind.

import type { KubeObject } from '#shared/api/kinds.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { ActionLog } from '../actions.ts'
import { type BlockedKinds, decideBlocked } from '../domain/blocked.ts'

/** Logs a warning. TerminalError `ResourceBlocked` if the user has configured that. */
export function leaveOut(item: KubeObject, { strict }: BlockedKinds, log: ActionLog): void {
  const decision = decideBlocked(item, strict)
  if (decision.kind === 'fail') throw new TerminalError('ResourceBlocked', decision.message)
  log[decision.level](decision.message)
}
