// The crash tests: every run, several at a time in environments of their own, with its result.
// Usage: node test/crash/run.ts; ONLY=<regular expression> selects runs by their id, SEED=<number> chooses other moments,
// BENCHES=<number> is how many run at a time. The last line is `N passed, N failed`.

import { VICTIMS } from '#test/environment/faults/victims.ts'
import { type Bench, startBench } from './bench.ts'
import { CrashRunFailed, crashRun, type Report } from './crash-run.ts'
import {
  AGAIN,
  ALONE,
  alone,
  clockJumps,
  killsAtMoments,
  killsAtWritePoints,
  leftOf,
  needsItsFaults,
  type Points,
  serversAway,
  sweepAlone,
} from './crash-runs.ts'
import { type CrashRun, STAGES } from './plan.ts'

const { ONLY = '', SEED = '1', BENCHES = '3' } = process.env

type Ended = { run: CrashRun; report: Report; seconds: number; problem?: Error }

/** A write that occurs by chance (two functions at one object) may not occur in every run. */
const TRIES = 3

async function runWithRetry(bench: Bench, run: CrashRun): Promise<Ended> {
  for (let attempt = 1; ; attempt++) {
    const ended = await runOnce(bench, run)
    const isMissed = needsItsFaults(run) && ended.problem === undefined && ended.report.unmet.length > 0
    if (!isMissed) return ended
    if (attempt === TRIES) return { ...ended, problem: new Error('what was to go wrong never did') }
  }
}

async function runOnce(bench: Bench, run: CrashRun): Promise<Ended> {
  const startMs = performance.now()
  const seconds = () => (performance.now() - startMs) / 1000
  await (run.sweepAlone === true ? bench.environment.stopAdapters() : bench.environment.parts.adapters.up())
  try {
    const report = await crashRun(bench, run)
    return { run, report, seconds: seconds() }
  } catch (error) {
    if (!(error instanceof CrashRunFailed)) throw error
    return { run, report: error.report, seconds: seconds(), problem: error }
  }
}

function tell({ run, report, seconds, problem }: Ended): void {
  const stages = STAGES.map((stage) => `${stage} ${report.seconds[stage].toFixed(0)} s`).join(', ')
  const met = `${report.happened.length} of ${run.steps.length} faults`
  console.log(`${problem === undefined ? 'ok  ' : 'FAIL'} ${run.id}: ${met}, ${stages} (${seconds.toFixed(0)} s)`)
  if (problem === undefined) return
  console.log(`     ${problem.message.replaceAll('\n', '\n     ')}`)
  console.log(`     again: make crash-tests ONLY='^${run.id.replace(AGAIN, '')}$'; its steps, as far as they happened:`)
  for (const step of report.happened) console.log(`       ${step}`)
}

/** Each bench takes the next run when it has finished one. */
async function runAll(benches: Bench[], runs: CrashRun[]): Promise<Ended[]> {
  const waiting = [...runs]
  const ended: Ended[] = []
  await Promise.all(
    benches.map(async (bench) => {
      for (let run = waiting.shift(); run !== undefined; run = waiting.shift()) {
        const one = await runWithRetry(bench, run)
        tell(one)
        ended.push(one)
        waiting.push(...leftOf(run, one.report.unmet))
      }
    }),
  )
  return ended
}

function planned(points: Points, typical: Report['seconds']): CrashRun[] {
  const all = [
    ...killsAtWritePoints(points),
    ...sweepAlone(points),
    ...serversAway(),
    ...clockJumps(),
    ...killsAtMoments(VICTIMS, typical, Number(SEED)),
  ]
  const asked = ONLY.includes(ALONE) ? all.flatMap((run) => alone(run)) : all
  return asked.filter(({ id }) => new RegExp(ONLY).test(id))
}

function table(ended: Ended[]): void {
  const groups = new Map<string, Ended[]>()
  for (const one of ended) {
    const group = one.run.id.split('/').slice(0, 2).join('/')
    groups.set(group, [...(groups.get(group) ?? []), one])
  }
  console.log('\n| what went wrong | runs | faults | slowest | failed |\n|---|---|---|---|---|')
  for (const [group, all] of groups) {
    const faults = all.reduce((sum, { report }) => sum + report.happened.length, 0)
    const slowest = Math.max(...all.map(({ seconds }) => seconds))
    const failed = all.filter(({ problem }) => problem !== undefined).length
    console.log(`| ${group} | ${all.length} | ${faults} | ${slowest.toFixed(0)} s | ${failed} |`)
  }
}

const startMs = performance.now()
const benches = await Promise.all(Array.from({ length: Number(BENCHES) }, () => startBench()))
try {
  const fair = await runWithRetry(benches[0]!, { id: 'fair', steps: [] })
  tell(fair)
  const runs = planned(fair.report.points, fair.report.seconds)
  console.log(
    `${runs.length} runs, ${STAGES.map((stage) => fair.report.points[stage].length).join(' + ')} write points`,
  )
  const ended = [fair, ...(fair.problem === undefined ? await runAll(benches, runs) : [])]
  table(ended)
  const failed = ended.filter(({ problem }) => problem !== undefined).length
  console.log(`\n${((performance.now() - startMs) / 60_000).toFixed(1)} minutes`)
  for (const { run } of ended.filter(({ problem }) => problem !== undefined)) console.log(`failed: ${run.id}`)
  console.log(`${ended.length - failed} passed, ${failed} failed`)
  process.exitCode = failed === 0 && ended.length > runs.length ? 0 : 1
} finally {
  await Promise.all(benches.map(({ environment }) => environment.stop()))
}
