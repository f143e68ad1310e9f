// Decides which fault happens at which call, by the fault plan, and how long it lasts.

import { ConflictError, RetryableError } from '#shared/kernel/errors.ts'
import { HOUR_MS, SECOND_MS } from '#shared/kernel/units.ts'
import type { Choices } from './choices.ts'
import type { VirtualClock } from './clock.ts'
import { Clocks } from './clocks.ts'
import { AWAY, type FaultPlan, originOf, type Port } from './fault-plan.ts'
import { Slowness } from './slowness.ts'

/**
 * `before`: the call did nothing. `after`: it did its work, and its answer is lost. `repeated`: the same, and the adapter repeats the call.
 * `pause`: the process is paused before the call. `function`: only the function is paused; its mover goes on.
 */
type Trouble =
  | { kind: 'none' }
  | { kind: 'before' | 'after'; error: Error }
  | { kind: 'repeated' }
  | { kind: 'die'; when: 'before' | 'after' }
  | { kind: 'pause'; ms: number; who: 'function' | 'pod' }
  | { kind: 'slow'; ms: number }
  | { kind: 'clock'; offsetMs: number }

type Kind =
  | 'before'
  | 'after'
  | 'repeated'
  | 'conflict'
  | 'expired'
  | 'busy'
  | 'die before'
  | 'die after'
  | 'pause pod'
  | 'pause function'
  | 'slow'
  | 'away'
  | 'clock'

const READS = ['before', 'pause pod', 'away', 'die before'] as const
const WRITES = ['before', 'after', 'die before', 'die after', 'pause pod', 'away'] as const

/** Keep the order: recorded choices are indexes into these lists. Append new entries. */
const KINDS: Record<Port, { reads: readonly Kind[]; writes: readonly Kind[] }> = {
  cluster: {
    reads: [...READS, 'pause function', 'clock'],
    writes: [...WRITES, 'conflict', 'pause function', 'clock'],
  },
  vcenter: { reads: [...READS, 'busy', 'expired'], writes: [...WRITES, 'busy', 'expired'] },
  store: { reads: [...READS, 'slow'], writes: [...WRITES, 'repeated', 'slow'] },
  disk: { reads: ['before'], writes: ['before'] },
}

const MOST_AWAY_S = 120
/** Usually longer than a Lease, the wait of the next holder and the next sweep together: another process has continued the work meanwhile. */
const MOST_PAUSE_S = 300
const MOST_SLOW_S = 20

export class Faults {
  readonly plan: FaultPlan
  readonly slowness: Slowness
  readonly clocks: Clocks
  readonly #choices: Choices
  readonly #clock: VirtualClock
  readonly #awayUntilMs = new Map<Port, number>()
  troubles = 0
  /** Calls that were refused because their server was away. */
  #refusals = 0
  /** Processes that died of a fault. */
  #deaths = 0
  /** How often a process was paused between two calls. */
  standstills = 0
  /** For traces. */
  onTrouble: (text: string) => void = () => {}
  /** Clocks that were off: deadlines by the wall clock may pass early then. */
  clocksOff = 0

  constructor(plan: FaultPlan, choices: Choices, clock: VirtualClock) {
    this.plan = plan
    this.slowness = new Slowness(plan, choices, clock)
    this.clocks = new Clocks(plan, choices)
    this.#choices = choices
    this.#clock = clock
  }

  /** Counts all faults so far: while the number stays the same, no fault has happened. */
  get count(): number {
    return (
      this.troubles +
      this.clocksOff +
      this.#refusals +
      this.#deaths +
      this.standstills +
      this.slowness.faults +
      this.clocks.jumps
    )
  }

  get isBad(): boolean {
    return this.troubles < (this.plan.most ?? 0)
  }

  /** `name`: the call with its object, as it appears in a recorded list. */
  at(port: Port, name: string, isWrite: boolean): Trouble {
    if ((this.#awayUntilMs.get(port) ?? 0) > this.#clock.nowMs()) {
      this.#refusals++
      return { kind: 'before', error: away(port, name) }
    }
    if (isWrite && this.#choices.chance(`dies after ${name}`, this.plan.die)) {
      this.#deaths++
      this.onTrouble(`die after: ${name}`)
      return { kind: 'die', when: 'after' }
    }
    if (!this.isBad) return { kind: 'none' }
    const kinds = isWrite ? KINDS[port].writes : KINDS[port].reads
    const chosen = kinds[this.#choices.trouble(name, this.plan.trouble ?? 0, kinds.length) - 1]
    if (chosen === undefined) return { kind: 'none' }
    this.troubles++
    this.onTrouble(`${chosen}: ${name}`)
    return this.#troubleOf(chosen, port, name)
  }

  /** Takes the server away for `ms`, which may be longer than any single fault lasts. */
  leave(port: Port, ms: number): void {
    this.#awayUntilMs.set(port, this.#clock.nowMs() + ms)
  }

  /** The clock offset of a new process, usually 0. */
  clockOffsetMs(): number {
    const offset = this.#choices.trouble('a clock is off', this.plan.clocks ?? 0, 2)
    if (offset !== 0) this.clocksOff++
    return [0, HOUR_MS, -HOUR_MS][offset] ?? 0
  }

  #troubleOf(kind: Kind, port: Port, name: string): Trouble {
    const seconds = (most: number) => SECOND_MS * (1 + this.#choices.below(`seconds of ${kind}`, most))
    switch (kind) {
      case 'before':
      case 'after':
        return { kind, error: away(port, name) }
      case 'busy':
        return { kind: 'before', error: new RetryableError('VCenterBusy', `${name}: TaskInProgress`) }
      case 'expired':
        return { kind: 'before', error: new RetryableError('VCenterSessionExpired', `${name}: NotAuthenticated`) }
      case 'conflict':
        return { kind: 'before', error: new ConflictError('Conflict', `${name}: 409`) }
      case 'repeated':
        return { kind }
      case 'die before':
      case 'die after':
        return { kind: 'die', when: kind === 'die before' ? 'before' : 'after' }
      case 'pause pod':
      case 'pause function':
        return { kind: 'pause', ms: seconds(MOST_PAUSE_S), who: kind === 'pause pod' ? 'pod' : 'function' }
      case 'slow':
        return { kind, ms: seconds(MOST_SLOW_S) }
      case 'clock':
        this.clocksOff++
        return { kind, offsetMs: this.#choices.below('which way a clock jumps', 2) === 0 ? HOUR_MS : -HOUR_MS }
      case 'away':
        this.#awayUntilMs.set(port, this.#clock.nowMs() + seconds(MOST_AWAY_S))
        return { kind: 'before', error: away(port, name) }
      default:
        return kind satisfies never
    }
  }
}

function away(port: Port, name: string): RetryableError {
  return new RetryableError(AWAY[port], `${name}: fault of the simulation`, originOf(port))
}
