// Conditions for users: they do not flap, contain no times or attempt numbers, and change only when their meaning does.

import type { Condition } from '#shared/api/kinds.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { beginning, cut } from '#shared/kernel/cut.ts'

export type ConditionChange = Omit<Condition, 'lastTransitionTime' | 'observedGeneration'>

const MAX_MESSAGE_CHARS = 1024

/**
 * Returns the list with `change` in it. lastTransitionTime changes only when the status does. The order is kept, and new conditions go
 * last.
 */
export function setCondition(
  list: Condition[] | undefined,
  change: ConditionChange,
  nowMs: number,
  generation?: number,
): Condition[] {
  const current = list ?? []
  const before = current.find((condition) => condition.type === change.type)
  const lastTransitionTime = before?.status === change.status ? before.lastTransitionTime : rfc3339(nowMs)
  const next: Condition = {
    ...change,
    message: clip(change.message),
    lastTransitionTime,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  }
  return before === undefined
    ? [...current, next]
    : current.map((condition) => (condition === before ? next : condition))
}

export function conditionOf(list: Condition[] | undefined, type: string): Condition | undefined {
  return list?.find((condition) => condition.type === type)
}

export function isTrue(list: Condition[] | undefined, type: string): boolean {
  return conditionOf(list, type)?.status === 'True'
}

/** Messages end up in etcd and on a terminal, so they are limited in length and have one line. */
export function clip(message: string): string {
  const line = beginning(message, 8 * MAX_MESSAGE_CHARS)
    .replaceAll(/\s+/g, ' ')
    .trim()
  return cut(line, MAX_MESSAGE_CHARS)
}
