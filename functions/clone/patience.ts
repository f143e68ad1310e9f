// What may pass, and what a restore does not wait for without end.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { CloneFromSnapshot, Download } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { isOlderThan } from '#shared/kernel/clock.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'

/** In the way of a staged disk now: whoever waits does so no longer than `withPatience` lets them. */
export class ObstacleError extends RetryableError {}

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
export function isPastBindTimeout(deps: StepDeps, object: KubeObject): boolean {
  return isOlderThan(deps.settings.bindTimeoutMs, createdMs(deps, object), deps.cluster.nowMs())
}

/**
 * What `work` throws; an ObstacleError as TerminalError of the same reason once it was waited for longer than `DORMOUSE_BIND_TIMEOUT_SECONDS`.
 * `tried`: the Download of a disk that is exchanged; the wait for the next one began when that one was over, however old the restore is.
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

/** undefined: it is not over, or the clock that said so was ahead. */
function endedMs({ cluster }: StepDeps, tried: Download | undefined): number | undefined {
  const ms = Date.parse(tried?.status?.completionTimestamp ?? '')
  return ms <= cluster.nowMs() ? ms : undefined
}
