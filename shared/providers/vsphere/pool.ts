// The vCenters that the Secret names, each with its connection. The Secret is read again when it may have changed.

import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '#shared/kernel/clock.ts'
import { asError } from '#shared/kernel/errors.ts'
import type { VSphereConfig } from './config.ts'
import { VCenterVolumes } from './vcenter.ts'

const MAX_HOMES = 10_000

/** The connections that result from one reading of the Secret. */
export class Pool {
  readonly config: VSphereConfig
  readonly vcenters: ReadonlyMap<string, VCenterVolumes>
  /** When the Secret was last seen with this content. */
  readMs: number
  /** Volume to host of its vCenter. */
  readonly #homes: Map<string, string>
  /** Hosts that did not answer recently: they are asked last. */
  readonly #away = new Set<string>()

  constructor(config: VSphereConfig, readMs: number, clock: Clock, before?: Pool) {
    this.config = config
    this.readMs = readMs
    const kept = (host: string) => before?.vcenters.get(host)
    this.vcenters = new Map(
      config.vcenters.map((vcenter) => {
        const old = kept(vcenter.host)
        return [
          vcenter.host,
          isDeepStrictEqual(old?.vcenter, vcenter) && old ? old : new VCenterVolumes(vcenter, clock),
        ]
      }),
    )
    this.#homes = new Map(
      [...(before === undefined ? [] : before.#homes)].filter(([, host]) => this.vcenters.has(host)),
    )
  }

  /** undefined: every vCenter was asked and none knows the volume. Throws when a vCenter that could not be asked may know it. */
  async home(fcdId: string): Promise<VCenterVolumes | undefined> {
    const all = [...this.vcenters.values()]
    if (all.length === 1) return all[0]
    const known = this.vcenters.get(this.#homes.get(fcdId) ?? '')
    return known ?? this.#search(fcdId, all)
  }

  /** true: the volume had a known home. */
  forgetHome(fcdId: string): boolean {
    return this.#homes.delete(fcdId)
  }

  async #search(fcdId: string, all: VCenterVolumes[]): Promise<VCenterVolumes | undefined> {
    let trouble: Error | undefined
    const isAway = (one: VCenterVolumes) => Number(this.#away.has(one.vcenter.host))
    for (const one of all.toSorted((a, b) => isAway(a) - isAway(b))) {
      const { host } = one.vcenter
      try {
        const facts = await one.describe(fcdId)
        this.#away.delete(host)
        if (facts === undefined) continue
        if (this.#homes.size >= MAX_HOMES) this.#homes.clear()
        this.#homes.set(fcdId, host)
        return one
      } catch (error) {
        this.#away.add(host)
        trouble ??= asError(error)
      }
    }
    if (trouble !== undefined) throw trouble
    return undefined
  }
}

export type PoolsOptions = {
  /** Reads the Secret again each time. */
  loadConfig: () => Promise<VSphereConfig>
  clock: Clock
}

/** The current pool, and connections of earlier ones that are being closed. */
export class Pools {
  readonly #options: PoolsOptions
  #current: Promise<Pool> | undefined
  #reading: Promise<Pool> | undefined
  readonly #leaving = new Set<Promise<void>>()

  constructor(options: PoolsOptions) {
    this.#options = options
  }

  current(): Promise<Pool> {
    if (this.#current !== undefined) return this.#current
    const first = this.#read(undefined)
    this.#current = first
    first.catch(() => {
      if (this.#current === first) this.#current = undefined
    })
    return first
  }

  /** Called after an error with `seen`. Returns the same pool when the Secret is unchanged. */
  async readAnew(seen: Pool): Promise<Pool> {
    const current = await this.current()
    if (current !== seen) return current
    this.#reading ??= this.#read(seen).finally(() => {
      this.#reading = undefined
    })
    const fresh = await this.#reading
    this.#current = Promise.resolve(fresh)
    return fresh
  }

  async close(): Promise<void> {
    await this.#reading?.catch(() => undefined)
    const pool = await this.#current?.catch(() => undefined)
    this.#current = undefined
    for (const vcenter of pool?.vcenters.values() ?? []) this.#retire(vcenter)
    await Promise.all(this.#leaving)
  }

  /** Connections whose section is unchanged are kept; the others are logged out. */
  async #read(before: Pool | undefined): Promise<Pool> {
    const { loadConfig, clock } = this.#options
    const config = await loadConfig()
    const readMs = clock.monotonicMs()
    if (before !== undefined && isDeepStrictEqual(before.config, config)) {
      before.readMs = readMs
      return before
    }
    const fresh = new Pool(config, readMs, clock, before)
    for (const [host, old] of before?.vcenters ?? []) if (fresh.vcenters.get(host) !== old) this.#retire(old)
    return fresh
  }

  #retire(vcenter: VCenterVolumes): void {
    // There may be no caller to report to: if a logout fails, the session expires on its own.
    const ended = vcenter.close().catch(() => undefined)
    const leaving: Promise<void> = ended.finally(() => this.#leaving.delete(leaving))
    this.#leaving.add(leaving)
  }
}
