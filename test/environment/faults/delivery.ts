// Treats events as a broker under load does: loses, doubles, delays and reorders them, always in the same way for one seed.

import type { Interference, Passage } from '../eventing/router.ts'

type Unreliability = {
  /** Each a probability from 0 to 1. */
  drop?: number
  double?: number
  /** Held back by up to `delayMs`, so that later events overtake it. */
  reorder?: number
  delayMs?: number
  /** Names of Triggers; without it, all. */
  triggers?: string[]
}

type Chance = { next: () => number }

/** For `router.interfere`. */
export function unreliable(chance: Chance, how: Unreliability): (passage: Passage) => Interference {
  const { drop = 0, double = 0, reorder = 0, delayMs = 1000, triggers } = how
  return ({ trigger }) => {
    if (triggers !== undefined && !triggers.includes(trigger)) return {}
    // Always draw three numbers for each event, so that the fate of later events does not depend on this one.
    const [lost, doubled, late] = [chance.next() < drop, chance.next() < double, chance.next()]
    if (lost) return { copies: 0 }
    return { copies: doubled ? 2 : 1, delayMs: late < reorder ? Math.ceil((late / reorder) * delayMs) : 0 }
  }
}
