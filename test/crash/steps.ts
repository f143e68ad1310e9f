// Carries out the steps of a run: kills at write points and at moments, servers away, clocks that jump.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Call } from '#test/environment/faults/fault-plan.ts'
import { kill, killProcess, type Victim } from '#test/environment/faults/victims.ts'
import type { Bench } from './bench.ts'
import { pointOf, type Stage, type Step, stepText } from './plan.ts'

/** The steps of one stage: some have happened, some are still to come. */
export class Armed {
  readonly happened: string[] = []
  readonly problems: Error[] = []
  private readonly bench: Bench
  private readonly pending = new Set<Step>()
  private readonly running: Promise<void>[] = []
  private readonly ending = new AbortController()

  constructor(bench: Bench, stage: Stage, steps: Step[]) {
    this.bench = bench
    for (const step of steps.filter((one) => one.stage === stage)) {
      this.pending.add(step)
      if ('at' in step) this.watch(step)
      else this.track(this.later(step))
    }
  }

  /** Waits until killed servers are back and no moment is still to come; returns the steps that never happened. */
  async disarm(): Promise<Step[]> {
    this.ending.abort()
    this.bench.faults.plan.clear()
    for (let done = 0; done < this.running.length; ) {
      done = this.running.length
      await Promise.all(this.running)
    }
    if (this.problems.length > 0) throw new AggregateError(this.problems, 'a fault could not be made')
    return [...this.pending]
  }

  private watch(step: Extract<Step, { at: string }>): void {
    const act = async (call: Call) => {
      this.mark(step)
      if (step.kill === 'caller') await this.killCaller(call)
      else await this.killServer(step.kill)
    }
    this.bench.faults.plan.add({ match: pointOf(step.at), [step.when]: act })
  }

  /** A function dies as a pod does, with its children; a mover dies alone. */
  private async killCaller({ caller }: Call): Promise<void> {
    if (caller.pid === undefined) throw new Error('nobody knows who made the call')
    await killProcess(caller.pid)
  }

  private async killServer(victim: Victim): Promise<void> {
    const { back } = await kill(this.bench.environment, victim)
    this.track(back)
  }

  private async later(step: Exclude<Step, { at: string }>): Promise<void> {
    try {
      await sleep(step.afterMs, undefined, { signal: this.ending.signal })
    } catch {
      return // the stage ended before
    }
    this.mark(step)
    if ('kill' in step) await this.killServer(step.kill)
    else if ('away' in step) await this.leave(step)
    else await this.bench.faults.shiftClock(step.clockMs)
  }

  private async leave({ away, forMs }: Extract<Step, { away: string }>): Promise<void> {
    const proxy = this.bench.faults[away]
    await proxy.away()
    await sleep(forMs)
    await proxy.back()
  }

  private mark(step: Step): void {
    this.pending.delete(step)
    this.happened.push(stepText(step))
  }

  private track(work: Promise<void>): void {
    this.running.push(work.catch((error: Error) => void this.problems.push(error)))
  }
}
