// The result of a check of `dormouse doctor`, and its printed form.

import { asError, DormouseError } from '#shared/kernel/errors.ts'

/** `note`: nothing to fix, worth knowing. `warning`: it works with a drawback. `problem`: backup or restore will fail. */
type Level = 'ok' | 'note' | 'warning' | 'problem'

export type Finding = {
  check: string
  /** The checked object: a Secret, a location, a host, a volume. '' when the check has only one. */
  subject: string
  level: Level
  text: string
  /** What to do; every problem has one unless the text already says it. */
  fix?: string
  /** As in docs/operations/reasons.md. */
  reason?: string
}

export function ok(check: string, subject: string, text: string): Finding {
  return { check, subject, level: 'ok', text }
}

export function note(check: string, subject: string, text: string): Finding {
  return { check, subject, level: 'note', text }
}

export function warning(check: string, subject: string, text: string, fix: string): Finding {
  return { check, subject, level: 'warning', text, fix }
}

export function problem(check: string, subject: string, text: string, fix: string): Finding {
  return { check, subject, level: 'problem', text, fix }
}

/** An error during a check. Dormouse's own messages say what to do. */
export function problemOf(check: string, subject: string, thrown: unknown): Finding {
  const error = asError(thrown)
  const reason = error instanceof DormouseError ? { reason: error.reason } : {}
  return { check, subject, level: 'problem', text: error.message, ...reason }
}

/** One line: level, check, subject, text, and the fix. */
export function lineOf({ check, subject, level, text, fix, reason }: Finding): string {
  const where = subject === '' ? check : `${check} ${subject}`
  const why = reason === undefined ? '' : ` [${reason}]`
  const todo = fix === undefined ? '' : ` Fix: ${fix}`
  return `${level.padEnd(7)}  ${where}: ${oneLine(text)}${why}${todo === '' ? '' : '.'}${oneLine(todo)}`
}

export function exitCodeOf(findings: readonly Finding[]): number {
  return findings.some(({ level }) => level === 'problem') ? 1 : 0
}

function oneLine(text: string): string {
  const [first = '', ...rest] = text.split(/[\r\n]+/)
  return [first.trimEnd(), ...rest.map((line) => line.trim())].join(' ')
}
