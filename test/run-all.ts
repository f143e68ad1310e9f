// Runs levels of tests, side by side as far as the machine carries it, one line per part, and sums up.
// Usage: node test/run-all.ts [checks|quick|unit|contract|simulation|system|nightly|FOLDER]...; the last line is `N passed, N failed`.
// build/junit.xml gets the results. RECORD_TIMES=1 writes how long each part took to test/runner/times.json, which only sets the order.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { type Ended, runPart } from './runner/child.ts'
import { junitXml } from './runner/junit.ts'
import { type Part, partsOf } from './runner/parts.ts'
import { longestFirst, runPool, type Times } from './runner/pool.ts'

const TIMES = new URL('./runner/times.json', import.meta.url)
/** One more part than there are cores, as most of them wait for half of their time. TEST_LOAD=1 runs one after the other. */
const CAPACITY = Number(process.env['TEST_LOAD']) || availableParallelism() + 1

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

async function report(part: Part): Promise<Ended> {
  const ended = await runPart(part)
  const { passed, failed, seconds, output } = ended
  if (failed > 0) console.log(output.trimEnd())
  console.log(
    `${failed > 0 ? 'FAIL' : 'ok  '} ${part.name}: ${passed} passed, ${failed} failed (${seconds.toFixed(1)} s)`,
  )
  return ended
}

const levels = process.argv.slice(2)
const wanted = levels.length > 0 ? levels : ['unit', 'contract', 'simulation', 'system']
const times: Times = JSON.parse(readFileSync(TIMES, 'utf8'))
const parts = longestFirst(wanted.flatMap(partsOf), times)
const results = await runPool(
  parts.filter(({ builds }) => builds),
  CAPACITY,
  report,
)
results.push(
  ...(await runPool(
    parts.filter(({ builds }) => !builds),
    CAPACITY,
    report,
  )),
)

mkdirSync('build', { recursive: true })
writeFileSync('build/junit.xml', junitXml(results))
if (process.env['RECORD_TIMES'] === '1') {
  const seconds = results
    .filter(({ part }) => part.name.startsWith('test/'))
    .map(({ part, seconds }) => [part.name, Math.round(seconds)])
  writeFileSync(TIMES, `${JSON.stringify({ ...times, ...Object.fromEntries(seconds.sort()) }, null, 2)}\n`)
}
const passed = results.reduce((sum, count) => sum + count.passed, 0)
const failed = results.reduce((sum, count) => sum + count.failed, 0)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
