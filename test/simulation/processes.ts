// The processes of a simulation run: the dependencies that each one gets, and the path of its calls through faults, delays and death.

import type { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { Permits, type TransferDeps } from '#shared/controllers/deps.ts'
import { withWallTime } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import type { VolumeService } from '#shared/ports/volumes.ts'
import type { MemoryVolumes } from '#shared/providers/memory/volumes.ts'
import { createRepositories } from '#shared/repository/repositories.ts'
import { access } from '#test/support/engine-world.ts'
import { stores } from '#test/support/stores.ts'
import type { Bucket } from './bucket.ts'
import type { Choices } from './choices.ts'
import type { VirtualClock } from './clock.ts'
import type { Disks } from './disks.ts'
import { EngineMover, Sessions } from './engine-mover.ts'
import type { Faults } from './faults.ts'
import { Died, Pod } from './pod.ts'
import { aTurn } from './settle.ts'
import { NoAnswer } from './slowness.ts'

export const CLUSTER_ID = 'test'
/** Short, so that a small volume takes several slices. */
export const SLICE_SECONDS = 6
const CLUSTER_WRITES = ['create', 'patch', 'patchStatus', 'delete']
const VCENTER_WRITES = ['startSnapshot', 'startDeleteSnapshot']
const MOST_CALLS_PER_TASK = 8

/** `isCutOff`: requests are cut off at their maximum age. */
export type Warm = { pod: Pod; deps: TransferDeps; isCutOff: boolean }

type ProcessWorld = {
  choices: Choices
  clock: VirtualClock
  faults: Faults
  cluster: MemoryCluster
  volumes: MemoryVolumes
  bucket: Bucket
  disks: Disks
  broken: string[]
  errors: string[]
  lostStarts: Set<string>
  leftToOrphanSweep: Set<string>
  movers: number
  onDeath: () => void
}

export class Processes {
  readonly #world: ProcessWorld
  readonly #sessions = new Sessions()
  #pods = 0

  constructor(world: ProcessWorld) {
    this.#world = world
  }

  start(): Warm {
    const { clock, faults, bucket, movers, onDeath } = this.#world
    const pod = new Pod(`pod-${++this.#pods}`, clock, faults)
    pod.onDeath(onDeath)
    const cluster = this.#clusterOf(pod)
    const time = withWallTime(pod, cluster)
    const repositories = createRepositories({
      storeOf: () => bucket.storeOf(pod, 'function'),
      clock: time,
      sourceOf: blockSourceOf,
    })
    const deps: TransferDeps = {
      cluster,
      volumes: this.#vcenterOf(pod),
      repositories,
      mover: new EngineMover({ ...this.#world, sessions: this.#sessions }, pod),
      clock: time,
      settings: readSettings({
        DORMOUSE_CLUSTER_ID: CLUSTER_ID,
        DORMOUSE_MOVERS: String(movers),
        DORMOUSE_SLICE_SECONDS: String(SLICE_SECONDS),
        NODE_NAME: 'node-1',
      }),
      stores,
      identity: pod.name,
      log: this.#logOf(pod),
      clusterId: async () => CLUSTER_ID,
      access: async () => access,
      permits: new Permits(1),
      countSlice: () => undefined,
    }
    return { pod, deps, isCutOff: faults.plan.limits === true }
  }

  /** What a dead process still reports is ignored. */
  #logOf(pod: Pod): TransferDeps['log'] {
    const error = (fields: object, text: string) => {
      const cause = (fields as { err?: Error }).err?.stack ?? ''
      if (!pod.dead) this.#world.errors.push(`${text} ${JSON.stringify(fields)} ${cause}`)
    }
    const warn = (fields: object, text: string) => {
      const { fcdId } = fields as { fcdId?: string }
      if (fcdId !== undefined && text.includes('the orphan sweep removes it')) this.#world.leftToOrphanSweep.add(fcdId)
    }
    return { debug() {}, info() {}, warn, error }
  }

  #clusterOf(pod: Pod): Cluster {
    return this.#through(pod, this.#world.cluster, async (method, args, act) => {
      const [kind] = args
      return await pod.call('cluster', `${method} ${kind}`, CLUSTER_WRITES.includes(method), act, 'function')
    })
  }

  #vcenterOf(pod: Pod): VolumeService {
    return this.#through(pod, this.#world.volumes, async (method, args, act) => {
      const isWrite = VCENTER_WRITES.includes(method)
      if (isWrite) this.#setTaskTime()
      try {
        return await pod.call('vcenter', method, isWrite, act, 'function')
      } catch (error) {
        const nobodyKnows = error instanceof Died || error instanceof NoAnswer
        if (nobodyKnows && method === 'startSnapshot') this.#world.lostStarts.add(String(args[1]))
        throw error
      }
    })
  }

  /** The delay of a call, in turns. Time that passes meanwhile counts as a pause of the process, which renews no Lease in it. */
  async #latencyTurns(pod: Pod): Promise<void> {
    const { clock, choices, faults } = this.#world
    const sinceMs = clock.nowMs()
    const { latencyTurns = 0 } = faults.plan
    for (let turns = choices.below('latency in turns', 1 + latencyTurns); turns > 0; turns--) await aTurn()
    pod.tookItsTime(clock.nowMs() - sinceMs)
  }

  #setTaskTime(): void {
    const { faults, volumes, choices } = this.#world
    const { trouble = 0 } = faults.plan
    volumes.callsPerTask = choices.trouble('a task takes long', trouble * 20, MOST_CALLS_PER_TASK)
  }

  #through<T extends object>(
    pod: Pod,
    target: T,
    call: (method: string, args: unknown[], act: () => Promise<unknown>) => Promise<unknown>,
  ): T {
    return new Proxy(target, {
      get: (object, name) => {
        const member = Reflect.get(object, name)
        if (typeof member !== 'function') return member
        if (name === 'nowMs') return member.bind(object) // not a call
        return async (...args: unknown[]) => {
          await this.#latencyTurns(pod)
          return await call(String(name), args, async () => await member.apply(object, args))
        }
      },
    })
  }
}
