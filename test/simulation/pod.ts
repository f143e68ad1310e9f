// One process of a simulation run. It may die, be paused, or have a wrong wall clock. Nothing that it does after its death has an effect.

import type { Clock } from '#shared/kernel/clock.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { VirtualClock } from './clock.ts'
import type { Port } from './fault-plan.ts'
import type { Faults } from './faults.ts'

/** Thrown inside a process that is dead. */
export class Died extends Error {}

/** Who makes a call: the function itself, or its mover, which is paused only together with the whole pod. */
export type Caller = 'function' | 'mover'

/** Two thirds of a Lease: a holder must stop after so long without a renewal. */
const LONG_MS = 20 * SECOND_MS
/** A process that is paused for so long may lose its Lease, if its other waits are added. */
const NOTED_MS = 4 * SECOND_MS
/** A holder checks its Lease every five seconds. */
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

  /** True when the process was paused or its clock was off: it may have lost a Lease without knowing it. */
  get wasPaused(): boolean {
    return this.#wasPaused || this.#clock.nowMs() < this.#slowUntilMs
  }

  /** Notes a long time between two calls: the process may have lost a Lease, and will soon notice. */
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

  /** The time limit of a request: a paused process notices it only when it continues. */
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

  /** Waits while the process is paused; throws when it is dead. */
  async awake(caller: Caller): Promise<void> {
    while (!this.dead && this.#resumesMs[caller] > this.#clock.nowMs()) {
      await this.#clock.sleep(this.#resumesMs[caller] - this.#clock.nowMs())
    }
    if (this.dead) throw new Died()
  }

  /** Makes a call, or lets the fault happen that the plan has for it. */
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
