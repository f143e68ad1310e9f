// Many simulation runs by seed, on all cores. Shrinks each failed run and keeps it as the list of its steps.
// Usage: node test/simulation/soak.ts [SEEDS] [FIRST] [--stop]; the last line is `N passed, N failed`. `--stop`: ends at the first failure.

import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Choices } from './choices.ts'
import { RECORDS, writeRecord } from './record.ts'
import { simulate } from './run.ts'
import { shrink } from './shrink.ts'

const numbers = process.argv.slice(2).filter((word) => /^\d+$/.test(word))
const [seeds = 200, first = 1] = numbers.map(Number)
/** The time limit of one run together with the shrinking of its list; without that, a run takes about a second. */
const RUN_MS = 600_000
const stops = process.argv.includes('--stop')

type Report = { seed: number; failure: string | undefined; file: string | undefined }

async function runSeed(seed: number): Promise<Report> {
  const { failure, steps } = await simulate(Choices.ofSeed(seed))
  if (failure === undefined) return { seed, failure, file: undefined }
  const least = stops ? { steps, failure } : await shrink(steps, failure)
  const file = `${RECORDS}/seed-${seed}.json`
  writeRecord(file, { why: firstLine(least.failure), steps: least.steps })
  return { seed, failure: least.failure, file }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? ''
}

/** A worker takes one seed after the other. */
function work(): void {
  process.on('message', (seed: number) => {
    runSeed(seed).then(
      (report) => process.send?.(report),
      (error: unknown) => process.send?.({ seed, failure: String(error), file: undefined } satisfies Report),
    )
  })
}

async function soak(): Promise<void> {
  const startMs = performance.now()
  let next = first
  let failed = 0
  let passed = 0
  const workers = Array.from({ length: availableParallelism() }, async () => {
    const child = fork(fileURLToPath(import.meta.url), ['--worker', ...(stops ? ['--stop'] : [])])
    let running = 0
    let watch: NodeJS.Timeout | undefined
    const ended = Promise.withResolvers<void>()
    const give = () => {
      running = next
      clearTimeout(watch)
      watch = setTimeout(() => child.kill('SIGKILL'), RUN_MS)
      if (next < first + seeds && !(stops && failed > 0)) child.send(next++)
      else child.disconnect()
    }
    child.on('message', ({ seed, failure, file }: Report) => {
      if (failure === undefined) passed++
      else failed++
      if (failure !== undefined)
        console.log(`seed ${seed} failed: ${failure}\n  replay: node test/simulation/replay.ts ${file}`)
      give()
    })
    child.on('exit', (code) => {
      clearTimeout(watch)
      if (code !== 0) {
        failed++
        console.log(
          `seed ${running}: its worker ended with ${code === null ? 'no answer: a busy loop' : `code ${code}`}`,
        )
      }
      ended.resolve()
    })
    give()
    await ended.promise
  })
  await Promise.all(workers)
  console.log(`${seeds} runs from seed ${first} in ${((performance.now() - startMs) / 1000).toFixed(0)} s`)
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}

if (process.argv.includes('--worker')) work()
else await soak()
