// One function with its instances: which request waits, when another instance starts, and when an idle one stops.
// It decides by the open requests alone, where Knative's autoscaler averages over a window.

import type { FunctionSpec } from './function-spec.ts'
import type { Instance } from './instance.ts'

export type FunctionCounts = {
  requests: number
  byStatus: Record<string, number>
  /** One entry per process start: milliseconds until it accepted a connection. */
  coldStartsMs: number[]
  mostInstances: number
  instances: number
}

export type StartInstance = (spec: FunctionSpec, index: number) => Promise<Instance>

type Waiting = { resolve: (instance: Instance) => void; reject: (reason: unknown) => void }

/** The activator's own limit per revision; beyond it the answer is 503. */
const QUEUE_LIMIT = 10_000

export class QueueFull extends Error {}

export class ScaledFunction {
  readonly spec: FunctionSpec
  readonly counts: FunctionCounts = { requests: 0, byStatus: {}, coldStartsMs: [], mostInstances: 0, instances: 0 }
  instances: Instance[] = []
  private readonly startInstance: StartInstance
  private waiting: Waiting[] = []
  private starting = 0
  private started = 0
  private closed = false

  constructor(spec: FunctionSpec, startInstance: StartInstance) {
    this.spec = spec
    this.startInstance = startInstance
  }

  /** An instance with room for one more request, which is reserved: `release` gives the place back. */
  acquire(signal: AbortSignal): Promise<Instance> {
    if (this.closed) return Promise.reject(new Error('the environment stops'))
    if (this.waiting.length >= QUEUE_LIMIT) return Promise.reject(new QueueFull('pending request queue full'))
    const { promise, resolve, reject } = Promise.withResolvers<Instance>()
    const waiting = { resolve, reject }
    this.waiting.push(waiting)
    const leave = () => {
      this.waiting = this.waiting.filter((one) => one !== waiting)
      reject(signal.reason)
    }
    signal.addEventListener('abort', leave, { once: true })
    this.advance()
    return promise.finally(() => signal.removeEventListener('abort', leave))
  }

  release(instance: Instance): void {
    instance.inFlight--
    instance.idleSinceMs = performance.now()
    this.advance()
  }

  stopIdle(idleMs: number): void {
    const nowMs = performance.now()
    for (const instance of this.instances) {
      const idle = instance.isReady && instance.inFlight === 0 && nowMs - instance.idleSinceMs >= idleMs
      if (idle && instance.usable) void instance.stop(this.spec.timeoutMs)
    }
  }

  async stopAll(graceMs: number): Promise<void> {
    await Promise.all(this.instances.map((instance) => instance.stop(graceMs)))
  }

  async close(graceMs: number): Promise<void> {
    this.closed = true
    for (const { reject } of this.waiting) reject(new Error('the environment stops'))
    this.waiting = []
    // `grow` itself stops what is being started meanwhile.
    await this.stopAll(graceMs)
  }

  /** Gives free places to waiting requests, and starts as many more instances as the open requests need. */
  private advance(): void {
    while (this.waiting.length > 0) {
      const instance = this.leastBusy()
      if (instance === undefined) break
      instance.inFlight++
      this.waiting.shift()?.resolve(instance)
    }
    const requests = this.instances.reduce((sum, instance) => sum + instance.inFlight, this.waiting.length)
    const wanted = Math.min(Math.ceil(requests / this.spec.target), this.spec.maxScale ?? Number.POSITIVE_INFINITY)
    // An instance that is ending still counts: Knative's scale bound is for pods, whatever their state.
    for (let count = this.instances.length + this.starting; count < wanted; count++) this.grow()
  }

  private leastBusy(): Instance | undefined {
    const free = this.instances.filter(
      (instance) => instance.usable && instance.isReady && instance.inFlight < this.spec.concurrency,
    )
    return free.sort((one, other) => one.inFlight - other.inFlight)[0]
  }

  private grow(): void {
    this.starting++
    this.startInstance(this.spec, ++this.started)
      .finally(() => this.starting--)
      .then((instance) => this.adopt(instance))
      .catch((error) => this.fail(error))
  }

  private async adopt(instance: Instance): Promise<void> {
    if (this.closed) return void (await instance.stop(0))
    this.instances.push(instance)
    this.counts.instances = this.instances.length
    this.counts.mostInstances = Math.max(this.counts.mostInstances, this.instances.length)
    void instance.program.ended.then(() => this.forget(instance))
    this.counts.coldStartsMs.push(Math.round(await instance.ready))
    instance.idleSinceMs = performance.now()
    this.advance()
  }

  // A pod stopped or died: waiting requests get another one.
  private forget(instance: Instance): void {
    this.instances = this.instances.filter((one) => one !== instance)
    this.counts.instances = this.instances.length
    if (!this.closed) this.advance()
  }

  // A process that cannot start would be started for ever; waiting requests get its error.
  private fail(error: unknown): void {
    for (const { reject } of this.waiting) reject(error)
    this.waiting = []
  }
}
