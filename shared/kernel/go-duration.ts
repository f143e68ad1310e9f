// Durations in Go's notation: `10m0s`, `1h30m`, `1.5s`.

import { HOUR_MS, MINUTE_MS, SECOND_MS } from './units.ts'

const UNIT_MS: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: SECOND_MS,
  m: MINUTE_MS,
  h: HOUR_MS,
}
const PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g

/** Go's longest duration has 24 characters. For digits without a unit, the pattern takes time by the square of the length. */
const MAX_CHARS = 64

/** undefined: not a positive duration. */
export function parseGoDuration(text: string): number | undefined {
  if (text.length > MAX_CHARS) return undefined
  const parts = [...text.matchAll(PART)]
  if (parts.map(([part]) => part).join('') !== text) return undefined
  const ms = parts.reduce((sum, [, count, unit = '']) => sum + Number(count) * (UNIT_MS[unit] ?? Number.NaN), 0)
  return ms > 0 ? ms : undefined
}
