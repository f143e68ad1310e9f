// `delivery` of a Trigger or Broker (duck.knative.dev/v1 DeliverySpec): when to try again, how long to wait, when to give up.

export type DeliverySpec = {
  retry?: number
  backoffPolicy?: 'linear' | 'exponential'
  backoffDelay?: string
  timeout?: string
  deadLetterSink?: { ref?: { kind: string; name: string; namespace?: string; apiVersion?: string }; uri?: string }
}

export type DeliveryPlan = { retries: number; delayMs: (retry: number) => number; timeoutMs: number | undefined }

// Knative's config-br-defaults.
const DEFAULT_RETRIES = 10
const DEFAULT_DELAY = 'PT0.2S'

export function planOf(spec: DeliverySpec): DeliveryPlan {
  const firstMs = durationMs(spec.backoffDelay ?? DEFAULT_DELAY)
  const linear = spec.backoffPolicy === 'linear'
  return {
    retries: spec.retry ?? DEFAULT_RETRIES,
    // `retry` counts from 0: exponential is delay x 2^n.
    delayMs: (retry) => (linear ? firstMs * (retry + 1) : firstMs * 2 ** retry),
    timeoutMs: spec.timeout === undefined ? undefined : durationMs(spec.timeout),
  }
}

/** ISO 8601 without years and months, which have no fixed length. */
export function durationMs(text: string): number {
  const match = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/.exec(text)
  if (match === null || text.endsWith('P') || text.endsWith('T')) throw new Error(`"${text}" is no ISO 8601 duration`)
  const [days, hours, minutes, seconds] = match.slice(1).map((part) => Number(part ?? 0))
  return (((days! * 24 + hours!) * 60 + minutes!) * 60 + seconds!) * 1000
}

/** Whether a broker tries again after this status; 0: there was no answer. A 2xx with a body that is no CloudEvent counts as 502. */
export function isRetried(status: number): boolean {
  return status === 0 || status >= 500 || [404, 408, 409, 429].includes(status)
}
