// Cron expressions of PingSources: five fields, or six with seconds in front. Times are UTC, as in a PingSource without timezone.

type Field = { min: number; max: number }

const FIELDS: Field[] = [
  { min: 0, max: 59 }, // second
  { min: 0, max: 59 }, // minute
  { min: 0, max: 23 }, // hour
  { min: 1, max: 31 }, // day of month
  { min: 1, max: 12 }, // month
  { min: 0, max: 7 }, // day of week, 0 and 7 are Sunday
]
const SHORTHANDS: Record<string, string> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
}

export type Schedule = (epochMs: number) => boolean

/** Tells whether the schedule fires in that second. */
export function parseSchedule(expression: string): Schedule {
  const words = (SHORTHANDS[expression] ?? expression).trim().split(/\s+/)
  if (words.length === 5) words.unshift('0')
  if (words.length !== 6) throw new Error(`schedule "${expression}" has ${words.length} fields, want 5 or 6`)
  const [second, minute, hour, day, month, weekday] = words.map((word, index) => valuesOf(word, FIELDS[index]!))
  const anyDay = words[3] === '*' || words[5] === '*'
  return (epochMs) => {
    const at = new Date(epochMs)
    if (!second!.has(at.getUTCSeconds()) || !minute!.has(at.getUTCMinutes()) || !hour!.has(at.getUTCHours()))
      return false
    if (!month!.has(at.getUTCMonth() + 1)) return false
    const byDay = day!.has(at.getUTCDate())
    const byWeekday = weekday!.has(at.getUTCDay()) || (at.getUTCDay() === 0 && weekday!.has(7))
    // cron's rule: where both are restricted, one of them is enough.
    return anyDay ? byDay && byWeekday : byDay || byWeekday
  }
}

function valuesOf(word: string, { min, max }: Field): Set<number> {
  const values = new Set<number>()
  for (const part of word.split(',')) {
    const match = /^(\*|(\d+)(?:-(\d+))?)(?:\/(\d+))?$/.exec(part)
    if (match === null) throw new Error(`schedule field "${word}" is not understood`)
    const [, , from, to, every] = match
    const first = from === undefined ? min : Number(from)
    const last = to !== undefined ? Number(to) : from === undefined || every !== undefined ? max : first
    if (first < min || last > max) throw new Error(`schedule field "${word}" is not within ${min}-${max}`)
    for (let value = first; value <= last; value += Number(every ?? 1)) values.add(value)
  }
  return values
}
