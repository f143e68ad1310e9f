// Obstacles that may pass, and how long a restore waits for them.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { CloneFromSnapshot, Download } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { isOlderThan } from '#shared/kernel/clock.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'

/** An obstacle to making a staged disk that may pass. The restore waits at most as long as `withPatience` allows. */
export class ObstacleError extends RetryableError {}

/**
 * Reasons that are announced by an Event as soon as they occur: a person has to act, and may not look at the clone's status before the
 * restore has ended.
 */
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

/** The namespace does not admit a claim: its quota is used up, or a policy rejects the claim. A missing right is a different error. */
export function isRefusal(error: unknown): error is TerminalError {
  return error instanceof TerminalError && (error.reason === 'QuotaExceeded' || error.reason === 'AdmissionDenied')
}

/**
 * true if the object is older than `DORMOUSE_BIND_TIMEOUT_SECONDS`. The API server's clock decides, because it also set the creation time.
 */
export function isPastBindTimeout(deps: StepDeps, object: KubeObject): boolean {
  return isOlderThan(deps.settings.bindTimeoutMs, createdMs(deps, object), deps.cluster.nowMs())
}

/**
 * Rethrows the errors of `work`. An ObstacleError becomes a TerminalError with the same reason once the wait exceeds
 * `DORMOUSE_BIND_TIMEOUT_SECONDS`. `tried` is the Download of a disk that is being exchanged; the wait for the next disk began when that
 * Download ended, however old the restore is.
 */
export async function withPatience<T>(
  deps: StepDeps,
  { clone, tried }: { clone: CloneFromSnapshot; tried: Download | undefined },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof ObstacleError)) throw error
    const { bindTimeoutMs } = deps.settings
    const beganMs = endedMs(deps, tried) ?? createdMs(deps, clone)
    if (!isOlderThan(bindTimeoutMs, beganMs, deps.cluster.nowMs())) throw error
    throw new TerminalError(error.reason, `${error.message} (waited ${bindTimeoutMs / SECOND_MS} s)`)
  }
}

function createdMs({ cluster }: StepDeps, { metadata }: KubeObject): number {
  return Date.parse(metadata.creationTimestamp ?? '') || cluster.nowMs()
}

/** undefined: the Download has not ended, or the clock that wrote its end was ahead. */
function endedMs({ cluster }: StepDeps, tried: Download | undefined): number | undefined {
  const ms = Date.parse(tried?.status?.completionTimestamp ?? '')
  return ms <= cluster.nowMs() ? ms : undefined
}
