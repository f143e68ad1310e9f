// What may pass, and what a restore does not wait for without end.

import type { KubeObject } from '#shared/api/kinds.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { StepDeps } from '#shared/steps/deps.ts'

export type Obstacle = { reason: string; message: string }

/** RetryableError, and TerminalError of the same reason once the restore is older than `DORMOUSE_BIND_TIMEOUT_SECONDS`. */
export function waitOrEnd(
  { clock, settings }: StepDeps,
  { metadata }: KubeObject,
  { reason, message }: Obstacle,
): RetryableError | TerminalError {
  const sinceMs = Date.parse(metadata.creationTimestamp ?? '') || clock.nowMs()
  return clock.nowMs() - sinceMs > settings.bindTimeoutMs
    ? new TerminalError(reason, `${message} (waited ${settings.bindTimeoutMs / SECOND_MS} s)`)
    : new RetryableError(reason, message)
}
