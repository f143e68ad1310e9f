// One process of a simulation run: it may die, stand still, or have a wrong wall clock. Nothing that it does after its death has an effect.

import type { Clock } from '#shared/kernel/clock.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { VirtualClock } from './clock.ts'
import type { Port } from './fault-plan.ts'
import type { Faults } from './faults.ts'

/** Thrown into a process that is dead. */
export class Died extends Error {}

/** How a call is made: by the function itself, or by its mover, which stands still only with the whole pod. */
export type Caller = 'function' | 'mover'

/** Two thirds of a Lease: after so long without a renewal its holder is to stop. */
const LONG_MS = 20 * SECOND_MS
/** Whoever stands still for so long may lose its Lease, with what else it waits for. */
const NOTED_MS = 4 * SECOND_MS
/** It looks at its Lease each five seconds. */
const KNOWN_WITHIN_MS = 10 * SECOND_MS

export class Pod implements Clock {
  readonly name: string
  readonly #clock: VirtualClock
  readonly #faults: Faults
  readonly #onDeath: (() => void)[] = []
  #offsetMs: number
  #resumesMs: Record<Caller, number> = { function: 0, mover: 0 }
  dead = false
  #wasPaused = false
  #slowUntilMs = 0

  constructor(name: string, clock: VirtualClock, faults: Faults) {
    this.name = name
    this.#clock = clock
    this.#faults = faults
    this.#offsetMs = faults.clockOffsetMs() + faults.clocks.ofNewProcess()
  }

  /** It stood still or its clock was off: it may have lost a Lease without knowing. */
  get wasPaused(): boolean {
    return this.#wasPaused || this.#clock.nowMs() < this.#slowUntilMs
  }

  /** Between two calls: it may have lost a Lease, and is to know soon. */
  tookItsTime(ms: number): void {
    if (ms >= NOTED_MS) this.#faults.standstills++
    if (ms >= LONG_MS) this.#slowUntilMs = this.#clock.nowMs() + KNOWN_WITHIN_MS
  }

  nowMs(): number {
    return this.#clock.nowMs() + this.#offsetMs
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs()
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await this.#clock.sleep(ms, signal)
    await this.awake('function')
  }

  /** Of a request: it is noticed once the process does not stand still. */
  async limit(ms: number, signal: AbortSignal): Promise<void> {
    await this.#clock.limit(ms, signal)
    await this.awake('function')
  }

  onDeath(act: () => void): void {
    this.#onDeath.push(act)
  }

  die(): void {
    if (this.dead) return
    this.dead = true
    for (const act of this.#onDeath) act()
  }

  /** Waits while it stands still; throws when it is dead. */
  async awake(caller: Caller): Promise<void> {
    while (!this.dead && this.#resumesMs[caller] > this.#clock.nowMs()) {
      await this.#clock.sleep(this.#resumesMs[caller] - this.#clock.nowMs())
    }
    if (this.dead) throw new Died()
  }

  /** Carries a call out, or what the plan makes of it. */
  async call<T>(port: Port, name: string, isWrite: boolean, act: () => Promise<T>, caller: Caller): Promise<T> {
    await this.awake(caller)
    const trouble = this.#faults.at(port, name, isWrite)
    switch (trouble.kind) {
      case 'before':
        throw trouble.error
      case 'die':
        if (trouble.when === 'after') await act()
        this.die()
        throw new Died()
      case 'after':
        await act()
        throw trouble.error
      case 'repeated':
        await act()
        break
      case 'pause':
        this.#pause(trouble.ms, trouble.who)
        await this.awake(caller)
        break
      case 'slow':
        await this.#clock.sleep(trouble.ms)
        await this.awake(caller)
        break
      case 'clock':
        this.#offsetMs = trouble.offsetMs
        break
      case 'none':
    }
    const { slowness, clocks } = this.#faults
    if (port === 'cluster') this.#offsetMs = clocks.jump() ?? this.#offsetMs
    const slow = { name: this.name, awake: () => this.awake(caller) }
    const answer = await (slowness.isOff ? act() : slowness.take(port, name, isWrite, act, slow))
    if (this.dead) throw new Died()
    return answer
  }

  #pause(ms: number, who: 'function' | 'pod'): void {
    this.#wasPaused = true
    const resumesMs = this.#clock.nowMs() + ms
    this.#resumesMs = { function: resumesMs, mover: who === 'pod' ? resumesMs : this.#resumesMs.mover }
  }
}
