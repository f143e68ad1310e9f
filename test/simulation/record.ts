// Writes a failed run to disk: why it failed, and its steps, one a line.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Step } from './choices.ts'

type Recorded = { why: string; steps: readonly Step[] }

/** Where failed seeds are written. Give the ones worth keeping a name, and move them to test/simulation/recorded. */
export const RECORDS = process.env['SIMULATION_RECORDS'] ?? 'build/simulation'

export function writeRecord(file: string, { why, steps }: Recorded): void {
  mkdirSync(dirname(file), { recursive: true })
  const lines = steps.map((step) => `  ${JSON.stringify(step)}`)
  writeFileSync(file, `{\n "why": ${JSON.stringify(why)},\n "steps": [\n${lines.join(',\n')}\n ]\n}\n`)
}

export function readRecord(file: string): Recorded {
  return JSON.parse(readFileSync(file, 'utf8'))
}
