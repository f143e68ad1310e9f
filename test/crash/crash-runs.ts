// The list of runs: from the write points that a run without faults passes, from seeded moments, and from faults of other kinds.

import type { Victim } from '#test/environment/faults/victims.ts'
import { Random } from '#test/simulation/random.ts'
import { ANYBODY, type CrashRun, STAGES, type Stage, type Step, type When } from './plan.ts'

export type Points = Record<Stage, string[]>
type Seconds = Record<Stage, number>

export const ALONE = '/alone/'
export const AGAIN = '/again'

/** A run that proves nothing without its fault. In a chain, one of many faults may be skipped; a moment may come after the end. */
export function needsItsFaults({ id, steps }: CrashRun): boolean {
  return id.includes(ALONE) || steps.some((step) => 'away' in step)
}

const WHENS: When[] = ['before', 'after']
const AWAY_MS = { vcenter: 60_000, s3: 60_000, kubernetes: 30_000 } as const
const HOUR_MS = 3_600_000
/** How many moments each victim has in each stage; two of each stage share a run. */
const MOMENTS = 10
const MOMENTS_PER_LIFE = 2
/** Fraction of a stage's typical time, because some runs are faster, and a moment after the end does not count. */
const WITHIN = 0.8

/** A fault that comes by the clock and not by the work, so a run may end without it. */
function isTimed(point: string): boolean {
  return /: PATCH leases \S+ hold$| progress$|^sweep: |^\?: /.test(point)
}

/** Writes that whichever process comes first makes: the function that ended the object, or the sweep. */
const ANYBODYS = /^\w+(?=: DELETE leases \S+-lease$)/

const isMover = (point: string) => /^\w+ mover: /.test(point)
const isS3 = (point: string) => /: (?:PUT|DELETE|POST) (?:\w+\/|config)/.test(point) && !isVcenter(point)
const isVcenter = (point: string) => point.includes(': SOAP ')
const isKubernetes = (point: string) => !isS3(point) && !isVcenter(point)
/** Writes that put an object into a source's selector, or create one: an event follows. */
const isNews = (point: string) => /: POST (?!leases|events)|step=(?!running|done|waiting)/.test(point)

/** Every process at every write point: its own writes, or writes of others that pass through it. */
export function killsAtWritePoints(points: Points): CrashRun[] {
  const chain = (
    victim: Victim | 'caller',
    name: string,
    passes: (point: string) => boolean,
    whens = WHENS,
  ): CrashRun[] =>
    whens.map((when) => ({
      id: `points/${name}/${when}`,
      steps: STAGES.flatMap((stage) => {
        const passed = points[stage].filter((at) => !isTimed(at) && passes(at))
        const places = new Set(passed.map((at) => at.replace(ANYBODYS, ANYBODY)))
        return [...places].map((at): Step => ({ stage, at, when, kill: victim }))
      }),
    }))
  return [
    ...chain('caller', 'function', (point) => !isMover(point)),
    ...chain('caller', 'mover', isMover),
    ...chain('function', 'pod', isMover),
    ...chain('s3', 's3', isS3),
    ...chain('kube-apiserver', 'kube-apiserver', isKubernetes),
    ...chain('etcd', 'etcd', isKubernetes),
    ...chain('adapter', 'adapter', isNews),
    ...chain('router', 'router', isNews),
  ]
}

/** Each kill at a write point in a run of its own: for kills that a chain has skipped, and to repeat one. */
export function alone(run: CrashRun, steps: Step[] = run.steps): CrashRun[] {
  const kills = steps.filter((step) => 'at' in step)
  return kills.map((step) => ({ ...run, id: `${run.id}${ALONE}${step.at}`, steps: [step] }))
}

/** Few enough for runs of their own. */
const FEW = 3

/** The skipped kills: once more as a chain, in which other deaths come between them, and the last few alone. */
export function leftOf(run: CrashRun, unmet: Step[]): CrashRun[] {
  if (run.id.includes(ALONE)) return []
  const kills = unmet.filter((step) => 'at' in step)
  const isChain = run.id.endsWith(AGAIN)
  if (kills.length <= FEW || isChain)
    return alone(isChain ? { ...run, id: run.id.slice(0, -AGAIN.length) } : run, kills)
  return [{ ...run, id: `${run.id}${AGAIN}`, steps: kills }]
}

/** `typical`: how long each stage takes without faults. */
export function killsAtMoments(victims: readonly Victim[], typical: Seconds, seed: number): CrashRun[] {
  return victims.flatMap((kill) => {
    const random = new Random(seed + [...kill].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7))
    return Array.from({ length: MOMENTS / MOMENTS_PER_LIFE }, (_, n) => ({
      id: `moments/${kill}/${n + 1}`,
      steps: STAGES.flatMap((stage) => {
        // In thirds of the stage's time, so that the second comes when the work has recovered from the first.
        const at = Array.from({ length: MOMENTS_PER_LIFE }, () =>
          Math.round(random.next() * WITHIN * typical[stage] * 1000),
        )
        return at.sort((one, other) => one - other).map((afterMs): Step => ({ stage, afterMs, kill }))
      }),
    }))
  })
}

export function serversAway(): CrashRun[] {
  const servers = Object.entries(AWAY_MS) as [keyof typeof AWAY_MS, number][]
  return servers.flatMap(([away, forMs]) =>
    STAGES.map((stage) => {
      // A deletion is over in a second.
      const afterMs = stage === 'delete' ? 50 : 500
      return { id: `away/${away}/${stage}`, steps: [{ stage, afterMs, away, forMs }] }
    }),
  )
}

/** The clock jumps while a process works, and the holder of the Lease dies: the Lease must pass on all the same. */
export function clockJumps(): CrashRun[] {
  const stages = STAGES.slice(0, 2)
  const jump = (stage: Stage, afterMs: number, clockMs: number): Step => ({ stage, afterMs, clockMs })
  const die = (stage: Stage): Step => ({ stage, afterMs: 5000, kill: 'function' })
  const jumps = Object.entries({ forward: HOUR_MS, back: -HOUR_MS }).flatMap(([name, clockMs]): CrashRun[] => [
    { id: `clock/${name}`, steps: stages.map((stage) => jump(stage, 2000, clockMs)) },
    { id: `clock/${name}/and-death`, steps: stages.flatMap((stage) => [jump(stage, 2000, clockMs), die(stage)]) },
  ])
  // The time of the dead holder's Lease lies an hour ahead of its successors' clocks.
  const ahead = stages.flatMap((stage) => [jump(stage, 500, HOUR_MS), die(stage), jump(stage, 5200, 0)])
  return [...jumps, { id: 'clock/there-and-back/and-death', steps: ahead }]
}

/** Runs without events, by the sweep alone: one without faults, and deaths at every write point. */
export function sweepAlone(points: Points): CrashRun[] {
  const [, after] = killsAtWritePoints(points)
  return [
    { id: 'sweep-alone/fair', steps: [], sweepAlone: true },
    { id: 'sweep-alone/function/after', steps: after!.steps, sweepAlone: true },
  ]
}
