// Plays a recorded run again. Usage: node test/simulation/replay.ts FILE [--trace]; `--trace` prints every write to the cluster.

import { Choices } from './choices.ts'
import { readRecord } from './record.ts'
import { simulate } from './run.ts'

const [file = '', ...words] = process.argv.slice(2)
const { why, steps } = readRecord(file)
console.log(`${file}: ${steps.length} steps; recorded because: ${why}`)
const { failure } = await simulate(
  Choices.ofSteps(steps),
  words.includes('--trace') ? (line) => console.log(line) : undefined,
)
console.log(failure ?? 'it ends right')
process.exitCode = failure === undefined ? 0 : 1
