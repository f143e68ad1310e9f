// Every choice of a simulation run, by name, drawn from a seed or played back from a recorded list. Only choices other than 0 ("nothing
// special") are recorded, so the list says what happened. Each name counts for itself, so the list still fits after the code has changed.

import { Random } from './random.ts'

/** The n-th choice (from 1) of that name had this `value`. Every choice that is not listed was 0: nothing special. */
export type Step = readonly [name: string, n: number, value: number]

export class Choices {
  /** What was chosen, in the order in which it happened. */
  readonly taken: Step[] = []
  readonly #seed: number | undefined
  readonly #given = new Map<string, number>()
  readonly #counts = new Map<string, number>()
  readonly #streams = new Map<string, Random>()

  private constructor(seed: number | undefined, steps: readonly Step[]) {
    this.#seed = seed
    for (const [name, n, value] of steps) this.#given.set(`${name}#${n}`, value)
  }

  static ofSeed(seed: number): Choices {
    return new Choices(seed, [])
  }

  /** Plays a list back; a choice that is not in it is 0. */
  static ofSteps(steps: readonly Step[]): Choices {
    return new Choices(undefined, steps)
  }

  /** Returns an integer, 0 <= choice < limit. */
  below(name: string, limit: number): number {
    return this.#choose(name, (random) => random.below(limit), limit)
  }

  chance(name: string, probability: number): boolean {
    return this.#choose(name, (random) => (random.chance(probability) ? 1 : 0), 2) === 1
  }

  /** Returns 0 (nothing) with the probability 1 - `probability`, else one of 1 to `kinds`, all equally likely. */
  trouble(name: string, probability: number, kinds: number): number {
    return this.#choose(name, (random) => (random.chance(probability) ? 1 + random.below(kinds) : 0), kinds + 1)
  }

  #choose(name: string, draw: (random: Random) => number, limit: number): number {
    const n = (this.#counts.get(name) ?? 0) + 1
    this.#counts.set(name, n)
    const value = this.#seed === undefined ? (this.#given.get(`${name}#${n}`) ?? 0) : draw(this.#streamOf(name))
    const chosen = value < limit ? value : 0 // the list is older than the code
    if (chosen !== 0) this.taken.push([name, n, chosen])
    return chosen
  }

  /** One generator for each name, so that choices of other names do not shift it. */
  #streamOf(name: string): Random {
    const known = this.#streams.get(name)
    if (known !== undefined) return known
    const random = new Random(hashOf(`${this.#seed}/${name}`))
    this.#streams.set(name, random)
    return random
  }
}

/** Returns 0 <= fraction < 1, always the same for the same name. */
export function fractionOf(name: string): number {
  return new Random(hashOf(name)).next()
}

/** Bytes without a pattern, always the same for the same name. */
export function noiseOf(name: string, count: number): Uint8Array {
  return new Random(hashOf(name)).bytes(count)
}

/** FNV-1a, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash >>> 0
}
