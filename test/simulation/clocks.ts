// Wrong clocks: each process has its own, and the API server has another. They differ by seconds to a year, and jump during a run.

import { DAY_MS, MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import type { Choices } from './choices.ts'
import type { FaultPlan } from './fault-plan.ts'

export const YEAR_MS = 365 * DAY_MS
/** Keep the order: recorded choices are indexes into these lists. Append new entries. */
const OFFSETS_MS = [3, -3, 40, -40, 300, -300].map((seconds) => seconds * SECOND_MS).concat(YEAR_MS, -YEAR_MS)
const JUMPS = [
  { whose: 'process', toMs: YEAR_MS },
  { whose: 'process', toMs: -YEAR_MS },
  { whose: 'process', toMs: 0 },
  { whose: 'server', toMs: YEAR_MS },
  { whose: 'server', toMs: -YEAR_MS },
  { whose: 'server', toMs: 0 },
] as const
const MOST_JUMPS = 3
/** After a jump by more than this, ages are wrong. */
const AGES_HOLD_MS = MINUTE_MS

export class Clocks {
  readonly #skew: number
  readonly #jump: number
  readonly #choices: Choices
  #serverMs: number | undefined
  jumps = 0
  /** The API server's clock jumped ahead, or back: ages of older objects may be a year off. */
  serverWentAhead = false
  serverWentBack = false
  /** For traces. */
  onJump: (text: string) => void = () => {}

  constructor({ skew = 0, jump = 0 }: FaultPlan, choices: Choices) {
    this.#skew = skew
    this.#jump = jump
    this.#choices = choices
  }

  /** How many milliseconds the API server's clock is ahead of the true time. */
  get serverMs(): number {
    this.#serverMs ??= this.#drawn("the API server's clock differs")
    return this.#serverMs
  }

  /** How many milliseconds the clock of a new process is ahead of the true time. */
  ofNewProcess(): number {
    return this.#drawn("a process's clock differs")
  }

  /** How far the clock of the calling process is ahead from now on, in milliseconds; undefined: unchanged. */
  jump(): number | undefined {
    if (this.#jump === 0 || this.jumps >= MOST_JUMPS) return undefined
    const jump = JUMPS[this.#choices.trouble('a clock jumps', this.#jump, JUMPS.length) - 1]
    if (jump === undefined) return undefined
    this.jumps++
    this.onJump(`the clock of the ${jump.whose} jumps to ${jump.toMs} ms from the true time`)
    if (jump.whose === 'process') return jump.toMs
    this.setServer(jump.toMs)
    return undefined
  }

  /** Makes the API server's clock jump: from now on it is `ms` ahead of the true time. */
  setServer(ms: number): void {
    if (ms - this.serverMs > AGES_HOLD_MS) this.serverWentAhead = true
    if (ms - this.serverMs < -AGES_HOLD_MS) this.serverWentBack = true
    this.#serverMs = ms
  }

  #drawn(name: string): number {
    return this.#skew === 0 ? 0 : (OFFSETS_MS[this.#choices.trouble(name, this.#skew, OFFSETS_MS.length) - 1] ?? 0)
  }
}
