// How long calls take in one run, and which never return: mostly milliseconds, now and then minutes. When a call takes longer than its adapter
// waits, the adapter gives up as in reality, and the server may still carry the call out. VDDK has no time limit: only a kill ends a call.

import { API_CALL_MS, STORE_IDLE_MS, STORE_RETRY, VCENTER_CALL_MS } from '#shared/kernel/call-limits.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { backoffMs } from '#shared/kernel/retry.ts'
import { MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import { type Choices, fractionOf } from './choices.ts'
import type { VirtualClock } from './clock.ts'
import { AWAY, type FaultPlan, originOf, type Port } from './fault-plan.ts'

/** The time of an ordinary call, before the factor of the run. */
const USUAL_MS: Record<Port, number> = { cluster: 20, vcenter: 200, store: 60, disk: 10 }
/** `callMs`: the adapter then gives the call up and tries again. `latestMs`: the server carries the call out by then, or not at all. */
const LIMITS: Record<Port, { callMs: number; attempts: number; latestMs: number } | undefined> = {
  cluster: { callMs: API_CALL_MS, attempts: 1, latestMs: MINUTE_MS },
  vcenter: { callMs: VCENTER_CALL_MS, attempts: 1, latestMs: 5 * MINUTE_MS },
  store: { callMs: STORE_IDLE_MS, attempts: STORE_RETRY.attempts, latestMs: 5 * MINUTE_MS },
  disk: undefined,
}

/** Keep the order: recorded choices are indexes into these lists. Append new entries. */
const LONG_S = [2, 5, 10, 20, 50, 100, 200, 300]
/** `request`: the server carries the call out late. `answer`: the server carries it out at once, and the answer is late. */
const LONG: readonly Delay[] = LONG_S.flatMap((seconds) => [
  { ms: seconds * SECOND_MS, slow: 'request' },
  { ms: seconds * SECOND_MS, slow: 'answer' },
])
/** `once`: this call only. `process`: all calls of this process to that server for some minutes. `all`: those of all processes. */
const NEVER = [
  { slow: 'request', reach: 'once' },
  { slow: 'answer', reach: 'once' },
  { slow: 'request', reach: 'process' },
  { slow: 'answer', reach: 'process' },
  { slow: 'request', reach: 'all' },
] as const
const MOST_STUCK_MINUTES = 8

type Delay = { ms: number; slow: 'request' | 'answer' }
type Stuck = { untilMs: number; slow: Delay['slow'] }

/** The caller: `name` of its process; `awake` waits while the process is paused, and throws when it is dead. */
type SlowCaller = { name: string; awake: () => Promise<void> }

/** There is no answer, so the caller cannot know whether the call was carried out. */
export class NoAnswer extends RetryableError {}

export class Slowness {
  readonly #plan: FaultPlan
  readonly #choices: Choices
  readonly #clock: VirtualClock
  readonly #stuck = new Map<string, Stuck>()
  #calls = 0
  #salt: number | undefined
  /** Calls that took seconds, or did not return, for each server. */
  readonly #delays: Record<Port, number> = { cluster: 0, vcenter: 0, store: 0, disk: 0 }
  /** Calls that took long, did not return, or were carried out after the adapter had given up. */
  faults = 0
  /** For traces. */
  onDelay: (text: string) => void = () => {}

  constructor(plan: FaultPlan, choices: Choices, clock: VirtualClock) {
    this.#plan = plan
    this.#choices = choices
    this.#clock = clock
  }

  /** True when no call takes any time. */
  get isOff(): boolean {
    const { pace = 0, slow = 0, hang = 0 } = this.#plan
    return pace + slow + hang === 0
  }

  /** Runs `act` in its drawn time. Throws the RetryableError of the port's adapter when there was no answer in time. */
  async take<T>(port: Port, name: string, isWrite: boolean, act: () => Promise<T>, caller: SlowCaller): Promise<T> {
    const limit = LIMITS[port]
    for (let attempt = 1; ; attempt++) {
      const delay = this.#delayOf(port, name, caller)
      if (delay.ms <= (limit?.callMs ?? Number.MAX_SAFE_INTEGER)) return await this.#inTime(delay, act, caller)
      if (limit === undefined) return await new Promise<never>(() => {})
      if (isWrite) this.#carryOut(delay, limit.latestMs, act)
      await this.#wait(limit.callMs, caller)
      if (attempt >= limit.attempts)
        throw new NoAnswer(AWAY[port], `${name}: no answer within ${limit.callMs} ms`, originOf(port))
      await this.#wait(
        backoffMs(attempt, STORE_RETRY, () => 1),
        caller,
      )
    }
  }

  async #inTime<T>({ ms, slow }: Delay, act: () => Promise<T>, caller: SlowCaller): Promise<T> {
    if (ms === 0) return await act()
    if (slow === 'request') {
      await this.#wait(ms, caller)
      return await act()
    }
    const answer = act()
    // It may be a refusal, which is late as well.
    answer.catch(() => {})
    await this.#wait(ms, caller)
    return await answer
  }

  /** Carries out a call that the adapter has given up: its answer or refusal goes nowhere. */
  #carryOut({ ms, slow }: Delay, latestMs: number, act: () => Promise<unknown>): void {
    const isDone = slow === 'answer' || ms <= latestMs
    if (!isDone) return
    const waiting = slow === 'answer' ? Promise.resolve() : this.#clock.sleep(ms)
    const land = async () => {
      this.faults++
      await act()
    }
    waiting.then(land).catch(() => {})
  }

  async #wait(ms: number, caller: SlowCaller): Promise<void> {
    if (ms > 0) await this.#clock.sleep(ms)
    await caller.awake()
  }

  #delayOf(port: Port, name: string, caller: SlowCaller): Delay {
    const stuck = this.#stuckAt(port, caller)
    if (stuck !== undefined) this.faults++
    if (stuck !== undefined) return { ms: Number.POSITIVE_INFINITY, slow: stuck.slow }
    return this.#drawn(port, name, caller) ?? { ms: this.#usualMs(port), slow: 'request' }
  }

  #drawn(port: Port, name: string, caller: SlowCaller): Delay | undefined {
    const { slow = 0, hang = 0, mostDelays = 0 } = this.#plan
    if (this.#delays[port] >= mostDelays) return undefined
    const long = slow === 0 ? undefined : LONG[this.#choices.trouble(`slow: ${name}`, slow, LONG.length) - 1]
    const never =
      hang === 0 ? undefined : NEVER[this.#choices.trouble(`never returns: ${name}`, hang, NEVER.length) - 1]
    if (long === undefined && never === undefined) return undefined
    this.#delays[port]++
    this.faults++
    if (never === undefined) {
      this.onDelay(`${long?.slow} of ${name} takes ${long?.ms} ms`)
      return long
    }
    this.onDelay(`${never.slow} of ${name} never returns: ${never.reach}`)
    if (never.reach !== 'once') this.#stick(never.reach === 'all' ? port : `${port} ${caller.name}`, never.slow)
    return { ms: Number.POSITIVE_INFINITY, slow: never.slow }
  }

  #stick(whose: string, slow: Delay['slow']): void {
    const ms = MINUTE_MS * (1 + this.#choices.below('minutes without an answer', MOST_STUCK_MINUTES))
    this.#stuck.set(whose, { untilMs: this.#clock.nowMs() + ms, slow })
  }

  #stuckAt(port: Port, { name }: SlowCaller): Stuck | undefined {
    const found = [this.#stuck.get(port), this.#stuck.get(`${port} ${name}`)]
    return found.find((stuck) => stuck !== undefined && stuck.untilMs > this.#clock.nowMs())
  }

  /** Half to one and a half times the usual time. One number is drawn for all calls: one for each would make recorded lists endless. */
  #usualMs(port: Port): number {
    const { pace = 0 } = this.#plan
    if (pace === 0) return 0
    this.#salt ??= this.#choices.below('how calls differ', 1000)
    return Math.round(pace * USUAL_MS[port] * (0.5 + fractionOf(`${this.#salt}/${port}/${++this.#calls}`)))
  }
}
