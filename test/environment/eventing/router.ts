// Stands in for a Knative Broker that buffers: it reads the same Trigger manifests and applies their filters and delivery rules.
// Differences: it holds events in the memory of one process, and knows no order, no CESQL and no authentication.

import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { LooseObject } from '#test/support/loose-object.ts'
import { eventFrom, type RoutedEvent } from './cloud-event.ts'
import { type Attempt, deliver, newAgent, pause } from './deliver.ts'
import { type DeliveryPlan, type DeliverySpec, planOf } from './delivery-spec.ts'
import { checkFilters, type TriggerFilters, triggerTakes } from './filters.ts'

export type Destination = DeliverySpec['deadLetterSink']
type TriggerCounts = { matched: number; delivered: number; retried: number; deadLettered: number; lost: number }
export type Passage = { trigger: string; event: RoutedEvent }
/** What a test does with an event on its way to one trigger; `copies` 0 loses it. */
export type Interference = { copies?: number; delayMs?: number }
type RoutedAttempt = Attempt & { atMs: number; trigger: string; attributes: Record<string, string> }

type Route = {
  name: string
  broker: string
  filters: TriggerFilters
  subscriber: Destination
  plan: DeliveryPlan
  deadLetterSink: Destination
}

/** Knative's own limit: how many times a reply may go round. */
const HOP_LIMIT = 255
const KEPT_ATTEMPTS = 20_000

export class Router {
  readonly attempts: RoutedAttempt[] = []
  /** Asked once per trigger and event; replace it to lose, double or delay. */
  interfere: (passage: Passage) => Interference = () => ({})
  url = ''
  private readonly routes: Route[]
  private readonly resolve: (destination: Destination, namespace: string) => string
  private readonly counted = new Map<string, TriggerCounts>()
  private readonly agent = newAgent()
  private ending = new AbortController()
  private port = 0
  private readonly server = http.createServer((incoming, response) => {
    this.receive(incoming, response).catch(() => response.destroy()) // the sender hung up, or the router stopped
  })
  private gate: { open: Promise<void>; release: () => void } | undefined
  private pending = 0

  /** `resolve` turns `ref` or `uri` of a destination into an address. */
  constructor(manifests: LooseObject[], resolve: (destination: Destination, namespace: string) => string) {
    const brokers = manifests.filter((object) => object.kind === 'Broker')
    this.routes = manifests.filter((object) => object.kind === 'Trigger').map((trigger) => routeOf(trigger, brokers))
    this.resolve = resolve
    for (const route of this.routes) this.counted.set(route.name, noCounts())
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(this.port, '127.0.0.1', resolve))
    this.port = (this.server.address() as AddressInfo).port
    this.url = `http://127.0.0.1:${this.port}`
  }

  brokerUrl(namespace: string, name: string): string {
    return `${this.url}/${namespace}/${name}`
  }

  /** The brokers that any Trigger names, as `<namespace>/<name>`. */
  get brokers(): string[] {
    return [...new Set(this.routes.map((route) => route.broker))]
  }

  counts(): Record<string, TriggerCounts> {
    return Object.fromEntries([...this.counted].map(([name, counts]) => [name, { ...counts }]))
  }

  /** How many events are being delivered or wait for their next attempt. */
  get inFlight(): number {
    return this.pending
  }

  /** Holds every event from now on; deliveries under way continue. */
  hold(): void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.gate ??= { open: promise, release: resolve }
  }

  letGo(): void {
    this.gate?.release()
    this.gate = undefined
  }

  publish(broker: string, event: RoutedEvent, hops = HOP_LIMIT): void {
    if (hops === 0) return
    for (const route of this.routes) {
      if (route.broker !== broker || !triggerTakes(route.filters, event.attributes)) continue
      this.counted.get(route.name)!.matched++
      const { copies = 1, delayMs = 0 } = this.interfere({ trigger: route.name, event })
      for (let copy = 0; copy < copies; copy++) void this.pass(route, event, delayMs, hops)
    }
  }

  /** After `down`: starts again at the same address, without the events that it held. */
  async up(): Promise<void> {
    this.ending = new AbortController()
    await this.start()
  }

  async stop(): Promise<void> {
    await this.down()
    this.agent.destroy()
  }

  /** As if its process was killed: the events that it holds are lost, and open requests get no answer. */
  async down(): Promise<void> {
    this.ending.abort(new Error('the router is gone'))
    this.letGo()
    const closed = new Promise((resolve) => this.server.close(resolve))
    this.server.closeAllConnections()
    await closed
  }

  private async receive(incoming: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of incoming) parts.push(part)
    const broker = incoming.url?.replace(/^\//, '') ?? ''
    const event = readEvent(incoming, Buffer.concat(parts))
    const status = !this.brokers.includes(broker) ? 404 : event === undefined ? 400 : 202
    // Answers before any delivery, so that no sender waits for a function.
    response.writeHead(status).end()
    if (event !== undefined && status === 202) this.publish(broker, event)
  }

  private async pass(route: Route, event: RoutedEvent, delayMs: number, hops: number): Promise<void> {
    this.pending++
    const { signal } = this.ending
    try {
      if (delayMs > 0) await pause(delayMs, signal)
      await this.gate?.open
      signal.throwIfAborted()
      await this.deliverTo(route, event, hops, signal)
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      this.pending--
    }
  }

  private async deliverTo(route: Route, event: RoutedEvent, hops: number, signal: AbortSignal): Promise<void> {
    const counts = this.counted.get(route.name)!
    const url = this.resolve(route.subscriber, namespaceOf(route.broker))
    const outcome = await deliver(event, url, this.options(route, event, signal))
    if (outcome.state === 'delivered') {
      counts.delivered++
      if (outcome.reply !== undefined) this.publish(route.broker, outcome.reply, hops - 1)
      return
    }
    if (route.deadLetterSink === undefined) {
      counts.lost++
      return
    }
    counts.deadLettered++
    const dead = deadLetter(event, url, outcome)
    const sink = this.resolve(route.deadLetterSink, namespaceOf(route.broker))
    const buried = await deliver(dead, sink, this.options(route, dead, signal))
    if (buried.state !== 'delivered') counts.lost++
  }

  private options(route: Route, event: RoutedEvent, signal: AbortSignal) {
    const counts = this.counted.get(route.name)!
    const onAttempt = (attempt: Attempt) => {
      if (attempt.attempt > 1) counts.retried++
      this.attempts.push({ ...attempt, atMs: Date.now(), trigger: route.name, attributes: event.attributes })
      if (this.attempts.length > KEPT_ATTEMPTS) this.attempts.splice(0, KEPT_ATTEMPTS / 10)
    }
    return { plan: route.plan, agent: this.agent, signal, onAttempt }
  }
}

function routeOf(trigger: LooseObject, brokers: LooseObject[]): Route {
  const { name, namespace = 'default' } = trigger.metadata
  const broker = brokers.find((one) => one.metadata.name === trigger['spec'].broker)
  const delivery: DeliverySpec = { ...broker?.['spec']?.delivery, ...trigger['spec'].delivery }
  checkFilters(trigger['spec'].filters ?? [], `Trigger ${name}`)
  return {
    name,
    broker: `${namespace}/${trigger['spec'].broker}`,
    filters: trigger['spec'],
    subscriber: trigger['spec'].subscriber,
    plan: planOf(delivery),
    deadLetterSink: delivery.deadLetterSink,
  }
}

// Names and cut of the extensions are those of eventing (pkg/channel/event_dispatcher); the data stays unchanged.
function deadLetter(event: RoutedEvent, url: string, failure: { status: number; body: string }): RoutedEvent {
  const reason = Buffer.from(failure.body.slice(0, 1024)).toString('base64').slice(0, 1024)
  const extensions = { knativeerrordest: url, knativeerrorcode: String(failure.status), knativeerrordata: reason }
  return { ...event, attributes: { ...event.attributes, ...extensions } }
}

function readEvent(incoming: http.IncomingMessage, body: Buffer): RoutedEvent | undefined {
  try {
    return eventFrom(incoming.headers, body)
  } catch {
    return undefined
  }
}

function namespaceOf(broker: string): string {
  return broker.split('/')[0]!
}

function noCounts(): TriggerCounts {
  return { matched: 0, delivered: 0, retried: 0, deadLettered: 0, lost: 0 }
}
