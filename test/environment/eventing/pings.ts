// Fires the PingSources of the manifests, as their adapter does in a cluster. A missed tick is not repeated.

import type { LooseObject } from '#test/support/loose-object.ts'
import { newEvent, type RoutedEvent } from './cloud-event.ts'
import { deliver, newAgent } from './deliver.ts'
import { planOf } from './delivery-spec.ts'
import { parseSchedule, type Schedule } from './schedule.ts'

type Ping = {
  name: string
  namespace: string
  isDue: Schedule
  everyMs: number | undefined
  lastMs: number
  source: LooseObject
}

// What a source does when its sink does not answer: 6 attempts in 3.1 s, then the event is lost.
const SOURCE_DELIVERY = planOf({ retry: 5, backoffPolicy: 'exponential', backoffDelay: 'PT0.1S' })
const TICK_MS = 50

export class Pings {
  readonly fired: Record<string, number> = {}
  private readonly pings: Ping[]
  private readonly sinkOf: (source: LooseObject) => string
  private readonly agent = newAgent()
  private readonly ending = new AbortController()
  private timer: NodeJS.Timeout | undefined
  private lastSecond = Math.floor(Date.now() / 1000)

  /** `everyMs` replaces the schedule of the PingSource with that name; 0: it fires only when a test asks for it. */
  constructor(manifests: LooseObject[], sinkOf: (source: LooseObject) => string, everyMs: Record<string, number> = {}) {
    this.sinkOf = sinkOf
    this.pings = manifests
      .filter((object) => object.kind === 'PingSource')
      .map((source) => ({
        name: source.metadata.name,
        namespace: source.metadata.namespace ?? 'default',
        isDue: parseSchedule(source['spec'].schedule),
        everyMs: everyMs[source.metadata.name],
        lastMs: performance.now(),
        source,
      }))
  }

  start(): void {
    this.timer = setInterval(() => this.tick(), TICK_MS)
  }

  /** Fires one PingSource now, whatever its schedule. */
  async fire(name: string): Promise<void> {
    const ping = this.pings.find((one) => one.name === name)
    if (ping === undefined) throw new Error(`no PingSource ${name}; there are: ${this.names().join(', ')}`)
    this.fired[name] = (this.fired[name] ?? 0) + 1
    const options = { plan: SOURCE_DELIVERY, agent: this.agent, signal: this.ending.signal, onAttempt: () => {} }
    await deliver(eventOf(ping), this.sinkOf(ping.source), options)
  }

  names(): string[] {
    return this.pings.map((ping) => ping.name)
  }

  stop(): void {
    clearInterval(this.timer)
    this.ending.abort(new Error('the pings stop'))
    this.agent.destroy()
  }

  private tick(): void {
    const second = Math.floor(Date.now() / 1000)
    for (const ping of this.pings) if (this.isDue(ping, second)) this.fire(ping.name).catch(() => {})
    this.lastSecond = second
  }

  private isDue(ping: Ping, second: number): boolean {
    if (ping.everyMs === undefined) return second !== this.lastSecond && ping.isDue(second * 1000)
    if (ping.everyMs === 0) return false
    if (performance.now() - ping.lastMs < ping.everyMs) return false
    ping.lastMs = performance.now()
    return true
  }
}

function eventOf({ name, namespace, source }: Ping): RoutedEvent {
  const { data = '', contentType = 'application/json' } = source['spec']
  const attributes = {
    type: 'dev.knative.sources.ping',
    source: `/apis/v1/namespaces/${namespace}/pingsources/${name}`,
    ...source['spec'].ceOverrides?.extensions,
  }
  return newEvent(attributes, contentType, data)
}
