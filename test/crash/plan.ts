// The faults of one run of a backup: a list of steps that can be written down, read and repeated.

import type { Victim } from '#test/environment/faults/victims.ts'
import type { ServerName } from '#test/environment/faults/write-points.ts'

export const STAGES = ['backup', 'restore', 'delete'] as const
export type Stage = (typeof STAGES)[number]

export type When = 'before' | 'after'

/** Stands for the caller's name in a write point that several functions pass, whichever comes first. */
export const ANYBODY = '*'

export type Step =
  /** At the first call of this name; `caller` means the process that makes the call. */
  | { stage: Stage; at: string; when: When; kill: Victim | 'caller' }
  | { stage: Stage; afterMs: number; kill: Victim }
  | { stage: Stage; afterMs: number; away: ServerName; forMs: number }
  | { stage: Stage; afterMs: number; clockMs: number }

export type CrashRun = {
  /** A stable id, which `ONLY=` matches. */
  id: string
  steps: Step[]
  /** The event sources are stopped from the start. */
  sweepAlone?: boolean
}

export function stepText(step: Step): string {
  if ('at' in step) return `${step.stage}: kill ${step.kill} ${step.when} "${step.at}"`
  const when = `${step.stage} + ${step.afterMs} ms`
  if ('kill' in step) return `${when}: kill ${step.kill}`
  if ('away' in step) return `${when}: ${step.away} away for ${step.forMs / 1000} s`
  return `${when}: the functions' clock ${step.clockMs >= 0 ? '+' : ''}${step.clockMs / 60_000} min`
}

/** The name that `at` matches. */
export function pointOf(at: string): string | RegExp {
  if (!at.startsWith(`${ANYBODY}: `)) return at
  return new RegExp(`^\\w+${RegExp.escape(at.slice(ANYBODY.length))}$`)
}
