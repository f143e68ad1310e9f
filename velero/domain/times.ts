// Velero's time limits: durations in Go's notation, the deadline of an operation, the time that one item may take.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Backup, Restore } from '#shared/api/types.ts'
import { parseGoDuration } from '#shared/kernel/go-duration.ts'
import { HOUR_MS, MINUTE_MS } from '#shared/kernel/units.ts'
import { RESOURCE_TIMEOUT_ANNOTATION } from './names.ts'

/** Velero's own defaults: `--default-item-operation-timeout`, `--resource-timeout`. */
const DEFAULT_OPERATION_TIMEOUT_MS = 4 * HOUR_MS
const DEFAULT_RESOURCE_TIMEOUT_MS = 10 * MINUTE_MS

/** A later date could not be written in RFC 3339. */
const MAX_DURATION_MS = 10 * 365 * 24 * HOUR_MS

/** `4h0m0s` in milliseconds (Go, time.ParseDuration). undefined: not a duration, not above 0, or beyond ten years. */
export function parseDuration(text: unknown): number | undefined {
  const ms = typeof text === 'string' ? parseGoDuration(text) : undefined
  return ms !== undefined && ms <= MAX_DURATION_MS ? ms : undefined
}

/** Velero counts from the moment at which Execute has answered, so this deadline is never later than Velero's. */
export function operationDeadlineMs(backup: Backup | Restore, nowMs: number): number {
  return nowMs + (parseDuration(backup.spec?.itemOperationTimeout) ?? DEFAULT_OPERATION_TIMEOUT_MS)
}

export function resourceTimeoutMs(owner: KubeObject): number {
  return parseDuration(owner.metadata?.annotations?.[RESOURCE_TIMEOUT_ANNOTATION]) ?? DEFAULT_RESOURCE_TIMEOUT_MS
}

/** Velero calls all actions again for the items of ended operations; a new operation would be an error then. */
export function isFinalizing(backup: Backup): boolean {
  const phase = backup.status?.phase
  return phase === 'Finalizing' || phase === 'FinalizingPartiallyFailed'
}
