// What may pass, and what a restore does not wait for without end.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isOlderThan } from '#shared/kernel/clock.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { StepDeps } from '#shared/steps/deps.ts'

export type Obstacle = { reason: string; message: string }

/** Worth an Event as soon as it is met: somebody has to do something, and may not look at the clone's status before it is over. */
const TOLD = new Set([
  'AdmissionDenied',
  'FittingVolumeExists',
  'Forbidden',
  'NoNodeForVolume',
  'NoNodeInTopology',
  'QuotaExceeded',
])

export function isTold(reason: string): boolean {
  return TOLD.has(reason)
}

/** The namespace does not take a claim: its quota is used up, or a rule of it is against the claim. No right is missing. */
export function isRefusal(error: unknown): error is TerminalError {
  return error instanceof TerminalError && (error.reason === 'QuotaExceeded' || error.reason === 'AdmissionDenied')
}

/** Older than `DORMOUSE_BIND_TIMEOUT_SECONDS`, by the API server's clock, which has also said when it was made. */
export function isPastBindTimeout({ cluster, settings }: StepDeps, { metadata }: KubeObject): boolean {
  const nowMs = cluster.nowMs()
  return isOlderThan(settings.bindTimeoutMs, Date.parse(metadata.creationTimestamp ?? '') || nowMs, nowMs)
}

/** RetryableError, and TerminalError of the same reason once the restore is older than `DORMOUSE_BIND_TIMEOUT_SECONDS`. */
export function waitOrEnd(
  deps: StepDeps,
  clone: KubeObject,
  { reason, message }: Obstacle,
): RetryableError | TerminalError {
  return isPastBindTimeout(deps, clone)
    ? new TerminalError(reason, `${message} (waited ${deps.settings.bindTimeoutMs / SECOND_MS} s)`)
    : new RetryableError(reason, message)
}
