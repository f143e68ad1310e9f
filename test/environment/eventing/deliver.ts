// Delivers one event to one address: attempts, back-off, and the meaning of each answer, by a broker's rules (delivery-spec.ts).

import { Agent } from 'node:http'
import { type Answer, request } from '../kubernetes/http.ts'
import { eventFrom, headersOf, type RoutedEvent } from './cloud-event.ts'
import { type DeliveryPlan, isRetried } from './delivery-spec.ts'

export type Attempt = { url: string; attempt: number; status: number; ms: number; error?: string }
type Delivered =
  /** `reply`: the subscriber answered with an event of its own. */
  | { state: 'delivered'; reply: RoutedEvent | undefined }
  | { state: 'refused' | 'exhausted'; status: number; body: string }

type DeliverOptions = {
  plan: DeliveryPlan
  agent: Agent
  signal: AbortSignal
  onAttempt: (attempt: Attempt) => void
}

/** Rejects only when the signal aborts; every other outcome is a value. */
export async function deliver(event: RoutedEvent, url: string, options: DeliverOptions): Promise<Delivered> {
  const { plan, signal } = options
  for (let retry = 0; ; retry++) {
    const startMs = performance.now()
    const { answer, error } = await post(event, url, options)
    signal.throwIfAborted()
    const reply = answer === undefined ? undefined : eventFrom(answer.headers, Buffer.from(answer.text))
    const status = meaning(answer, reply)
    options.onAttempt({
      url,
      attempt: retry + 1,
      status,
      ms: Math.round(performance.now() - startMs),
      ...(error === undefined ? {} : { error }),
    })
    if (status >= 200 && status < 300) return { state: 'delivered', reply }
    const body = answer?.text ?? error ?? ''
    if (!isRetried(status)) return { state: 'refused', status, body }
    if (retry >= plan.retries) return { state: 'exhausted', status, body }
    await pause(plan.delayMs(retry), signal)
  }
}

export function newAgent(): Agent {
  return new Agent({ keepAlive: true })
}

/** Resolves after `ms`; rejects as soon as the signal aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal.addEventListener('abort', onAbort, { once: true })
  })
}

async function post(
  event: RoutedEvent,
  url: string,
  { plan, agent, signal }: DeliverOptions,
): Promise<{ answer?: Answer; error?: string }> {
  const limit = plan.timeoutMs === undefined ? signal : AbortSignal.any([signal, AbortSignal.timeout(plan.timeoutMs)])
  const headers = { ...headersOf(event), 'content-length': String(event.body.length) }
  try {
    return { answer: await request(url, { method: 'POST', headers, body: event.body, agent, signal: limit }) }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

// A broker takes a body that is no event for an error of the subscriber: 502, and tries again.
function meaning(answer: Answer | undefined, reply: RoutedEvent | undefined): number {
  if (answer === undefined) return 0
  const success = answer.status >= 200 && answer.status < 300
  return success && answer.text !== '' && reply === undefined ? 502 : answer.status
}
