// Runs every life, several at a time in environments of their own, and says how each ended.
// Usage: node test/chaos/run.ts; ONLY=<regular expression> leaves out lives by their id, SEED=<number> moves the moments,
// BENCHES=<number> is how many run at a time. The last line is `N passed, N failed`.

import { VICTIMS } from '#test/environment/faults/victims.ts'
import { type Bench, startBench } from './bench.ts'
import { LifeFailed, type Lived, live } from './life.ts'
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
} from './lives.ts'
import { type Life, STAGES } from './plan.ts'

const { ONLY = '', SEED = '1', BENCHES = '3' } = process.env

type Ended = { life: Life; lived: Lived; seconds: number; problem?: Error }

/** A write that comes by chance (two functions at one object) may not come in every life. */
const TRIES = 3

async function run(bench: Bench, life: Life): Promise<Ended> {
  for (let attempt = 1; ; attempt++) {
    const ended = await runOnce(bench, life)
    const isMissed = needsItsFaults(life) && ended.problem === undefined && ended.lived.unmet.length > 0
    if (!isMissed) return ended
    if (attempt === TRIES) return { ...ended, problem: new Error('what was to go wrong never did') }
  }
}

async function runOnce(bench: Bench, life: Life): Promise<Ended> {
  const startMs = performance.now()
  const seconds = () => (performance.now() - startMs) / 1000
  await (life.sweepAlone === true ? bench.environment.stopAdapters() : bench.environment.parts.adapters.up())
  try {
    const lived = await live(bench, life)
    return { life, lived, seconds: seconds() }
  } catch (error) {
    if (!(error instanceof LifeFailed)) throw error
    return { life, lived: error.lived, seconds: seconds(), problem: error }
  }
}

function tell({ life, lived, seconds, problem }: Ended): void {
  const stages = STAGES.map((stage) => `${stage} ${lived.seconds[stage].toFixed(0)} s`).join(', ')
  const met = `${lived.happened.length} of ${life.steps.length} faults`
  console.log(`${problem === undefined ? 'ok  ' : 'FAIL'} ${life.id}: ${met}, ${stages} (${seconds.toFixed(0)} s)`)
  if (problem === undefined) return
  console.log(`     ${problem.message.replaceAll('\n', '\n     ')}`)
  console.log(`     again: make chaos ONLY='^${life.id.replace(AGAIN, '')}$'; its steps, as far as they happened:`)
  for (const step of lived.happened) console.log(`       ${step}`)
}

/** Each bench takes the next life when it is done with one. */
async function runAll(benches: Bench[], lives: Life[]): Promise<Ended[]> {
  const waiting = [...lives]
  const ended: Ended[] = []
  await Promise.all(
    benches.map(async (bench) => {
      for (let life = waiting.shift(); life !== undefined; life = waiting.shift()) {
        const one = await run(bench, life)
        tell(one)
        ended.push(one)
        waiting.push(...leftOf(life, one.lived.unmet))
      }
    }),
  )
  return ended
}

function planned(points: Points, typical: Lived['seconds']): Life[] {
  const all = [
    ...killsAtWritePoints(points),
    ...sweepAlone(points),
    ...serversAway(),
    ...clockJumps(),
    ...killsAtMoments(VICTIMS, typical, Number(SEED)),
  ]
  const asked = ONLY.includes(ALONE) ? all.flatMap((life) => alone(life)) : all
  return asked.filter(({ id }) => new RegExp(ONLY).test(id))
}

function table(ended: Ended[]): void {
  const groups = new Map<string, Ended[]>()
  for (const one of ended) {
    const group = one.life.id.split('/').slice(0, 2).join('/')
    groups.set(group, [...(groups.get(group) ?? []), one])
  }
  console.log('\n| what went wrong | lives | faults | slowest | failed |\n|---|---|---|---|---|')
  for (const [group, all] of groups) {
    const faults = all.reduce((sum, { lived }) => sum + lived.happened.length, 0)
    const slowest = Math.max(...all.map(({ seconds }) => seconds))
    const failed = all.filter(({ problem }) => problem !== undefined).length
    console.log(`| ${group} | ${all.length} | ${faults} | ${slowest.toFixed(0)} s | ${failed} |`)
  }
}

const startMs = performance.now()
const benches = await Promise.all(Array.from({ length: Number(BENCHES) }, () => startBench()))
try {
  const fair = await run(benches[0]!, { id: 'fair', steps: [] })
  tell(fair)
  const lives = planned(fair.lived.points, fair.lived.seconds)
  console.log(
    `${lives.length} lives, ${STAGES.map((stage) => fair.lived.points[stage].length).join(' + ')} write points`,
  )
  const ended = [fair, ...(fair.problem === undefined ? await runAll(benches, lives) : [])]
  table(ended)
  const failed = ended.filter(({ problem }) => problem !== undefined).length
  console.log(`\n${((performance.now() - startMs) / 60_000).toFixed(1)} minutes`)
  for (const { life } of ended.filter(({ problem }) => problem !== undefined)) console.log(`failed: ${life.id}`)
  console.log(`${ended.length - failed} passed, ${failed} failed`)
  process.exitCode = failed === 0 && ended.length > lives.length ? 0 : 1
} finally {
  await Promise.all(benches.map(({ environment }) => environment.stop()))
}
