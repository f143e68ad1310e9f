// Processes that share one store and make their calls to it one at a time, in an order that a seed decides. Each may die
// before any of its calls. LISTs come in pages, as those of S3 do: other processes act between two pages.

import { RetryableError } from '#shared/kernel/errors.ts'
import type { ObjectStore, StoredObject } from '#shared/ports/object-store.ts'
import type { Random } from '#test/simulation/random.ts'

const PAGE_OBJECTS = 6
/** After so many turns of the event loop, no process makes another call by itself. */
const QUIET_TURNS = 3

/** Probability that another process becomes the preferred one. */
const NEW_FAVOURITE = 0.04
/** A process that waits for something other than the store never continues. */
const MOST_IDLE_TURNS = 100_000
const LATENCY = 'latency in turns'
/** Probability that a process sleeps before a call; then the most calls of other processes that it sleeps through. */
const FALLS_ASLEEP = 0.01
const LONGEST_SLEEP = 400

type Waiting = { process: string; what: string; go: () => void; die: (error: Error) => void; isDue?: () => boolean }

export class Steps {
  readonly #random: Random
  readonly #deadliness: number
  readonly #waiting: Waiting[] = []
  #favourite: string | undefined
  readonly #dead = new Set<string>()
  /** For each sleeping process: how many calls have to be made before it wakes. */
  readonly #asleep = new Map<string, number>()
  /** A log of what happened, to diagnose a seed. */
  readonly taken: string[] = []

  /** `deadliness`: the probability that a process dies at a call. */
  constructor(random: Random, deadliness: number) {
    this.#random = random
    this.#deadliness = deadliness
  }

  async enter(process: string, what: string): Promise<void> {
    if (this.#dead.has(process)) throw dead(process)
    await new Promise<void>((go, die) => void this.#waiting.push({ process, what, go, die }))
  }

  /** Delays `process`: others make calls meanwhile. */
  async latencyTurns(process: string, calls: number): Promise<void> {
    for (let call = 0; call < calls; call++) await this.enter(process, LATENCY)
  }

  /** Others make calls until `isDue` is true, or until no other process can. */
  async until(process: string, isDue: () => boolean): Promise<void> {
    if (isDue()) return
    await new Promise<void>((go, die) => void this.#waiting.push({ process, what: LATENCY, go, die, isDue }))
  }

  /** Runs until all processes have ended. Calls `check` after each write. */
  async run(processes: readonly Promise<void>[], check: () => Promise<void>): Promise<void> {
    let running = processes.length
    let idle = 0
    for (const process of processes) void process.finally(() => void running--)
    for (await quiet(); running > 0; await quiet()) {
      const next = this.#next()
      if (next === undefined) {
        if (++idle > MOST_IDLE_TURNS) throw new Error(`nobody goes on after: ${this.taken.slice(-20).join(', ')}`)
        continue
      }
      idle = 0
      if (next.what !== LATENCY && this.#random.chance(this.#deadliness)) {
        this.#kill(next)
        continue
      }
      this.taken.push(`${next.process} ${next.what}`)
      next.go()
      if (!/^(put|delete)/.test(next.what)) continue
      await quiet()
      await check()
    }
    await Promise.all(processes)
  }

  /** In bursts: with an even mix, no process would ever do much while another one sleeps. */
  #next(): Waiting | undefined {
    const waiting = this.#waiting
    const awake = this.#awake()
    const any = () => awake[this.#random.below(awake.length)]
    if (this.#random.chance(NEW_FAVOURITE)) this.#favourite = any()?.process
    const favoured = awake.filter(({ process }) => process === this.#favourite)
    const next = favoured[this.#random.below(favoured.length)] ?? any()
    if (next !== undefined) waiting.splice(waiting.indexOf(next), 1)
    if (next !== undefined && this.#random.chance(FALLS_ASLEEP)) {
      this.#asleep.set(next.process, this.taken.length + this.#random.below(LONGEST_SLEEP))
    }
    return next
  }

  /** All processes, if none is awake. */
  #awake(): Waiting[] {
    const due = this.#waiting.filter(({ isDue = () => true }) => isDue())
    const awake = due.filter(({ process }) => (this.#asleep.get(process) ?? 0) <= this.taken.length)
    return [awake, due, [...this.#waiting]].find((some) => some.length > 0) ?? []
  }

  #kill(first: Waiting): void {
    this.taken.push(`${first.process} dies`)
    this.#dead.add(first.process)
    const all = [first, ...this.#waiting.filter(({ process }) => process === first.process)]
    for (const waiting of all.slice(1)) this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
    for (const { die, process } of all) die(dead(process))
  }
}

const dead = (process: string) => new RetryableError('StoreGone', `${process} is dead`)

async function quiet(): Promise<void> {
  for (let turn = 0; turn < QUIET_TURNS; turn++) await new Promise((resolve) => setImmediate(resolve))
}

export class SteppedStore implements ObjectStore {
  readonly location: string
  readonly #inner: ObjectStore
  readonly #enter: (what: string) => Promise<void>

  constructor(inner: ObjectStore, steps: Steps, process: string) {
    this.#inner = inner
    this.#enter = (what) => steps.enter(process, what)
    this.location = inner.location
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    await this.#enter(`get ${key}`)
    return await this.#inner.get(key)
  }

  async getRange(key: string, offset: number, length: number): Promise<Uint8Array | undefined> {
    await this.#enter(`get part of ${key}`)
    return await this.#inner.getRange(key, offset, length)
  }

  async putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    await this.#enter(`put ${key}`)
    return await this.#inner.putIfAbsent(key, body)
  }

  async *list(prefix: string): AsyncIterable<StoredObject> {
    for (let after = ''; ; ) {
      await this.#enter(`list ${prefix} after ${after}`)
      const page: StoredObject[] = []
      for await (const object of this.#inner.list(prefix)) {
        if (object.key > after && page.length < PAGE_OBJECTS) page.push(object)
      }
      yield* page
      if (page.length < PAGE_OBJECTS) return
      after = page.at(-1)?.key ?? ''
    }
  }

  async delete(key: string): Promise<void> {
    await this.#enter(`delete ${key}`)
    await this.#inner.delete(key)
  }
}
