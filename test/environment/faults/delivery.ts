// What a broker under load does to events: loses, doubles, delays and reorders them, the same in each run of a seed.

import type { Interference, Passage } from '../eventing/router.ts'

export type Unreliability = {
  /** Each a probability from 0 to 1. */
  drop?: number
  double?: number
  /** Held back by up to `delayMs`, so that later events overtake it. */
  reorder?: number
  delayMs?: number
  /** Names of Triggers; all without it. */
  triggers?: string[]
}

export type Chance = { next: () => number }

/** For `router.interfere`. */
export function unreliable(chance: Chance, how: Unreliability): (passage: Passage) => Interference {
  const { drop = 0, double = 0, reorder = 0, delayMs = 1000, triggers } = how
  return ({ trigger }) => {
    if (triggers !== undefined && !triggers.includes(trigger)) return {}
    // Three numbers for each event, whatever they decide: what comes later does not depend on it.
    const [lost, doubled, late] = [chance.next() < drop, chance.next() < double, chance.next()]
    if (lost) return { copies: 0 }
    return { copies: doubled ? 2 : 1, delayMs: late < reorder ? Math.ceil((late / reorder) * delayMs) : 0 }
  }
}
