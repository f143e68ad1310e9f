// Pushes a function's metrics to an OpenTelemetry collector (OTLP over HTTP, JSON): otherwise the counts of a pod that scales to zero
// between two scrapes would be lost. Loaded only if a collector is configured.

import { asError, RetryableError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { Counter, Histogram, Metrics } from './metrics.ts'
import { openRequest } from './outgoing.ts'

type Env = Readonly<Record<string, string | undefined>>
/** `startedMs`: when the counts were 0. */
type Period = { startedMs: number; nowMs: number }

const TIMEOUT_MS = 3 * SECOND_MS
/** AGGREGATION_TEMPORALITY_CUMULATIVE of opentelemetry/proto/metrics/v1/metrics.proto. */
const CUMULATIVE = 2

/** By the variables of the OpenTelemetry specification; undefined: no collector is configured. */
export function collectorUrl(env: Env): string | undefined {
  const { OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: exact, OTEL_EXPORTER_OTLP_ENDPOINT: base } = env
  return exact || (base ? `${base.replace(/\/$/, '')}/v1/metrics` : undefined)
}

/** `instance` distinguishes the counts of two pods. */
export async function pushMetrics(url: string, name: string, instance: string, metrics: Metrics, period: Period) {
  const resource = { attributes: attributesOf({ 'service.name': name, 'service.instance.id': instance }) }
  const scopeMetrics = [{ scope: { name: 'dormouse' }, metrics: metrics.all.map((metric) => metricOf(metric, period)) }]
  const body = JSON.stringify({ resourceMetrics: [{ resource, scopeMetrics }] })
  const status = await post(url, body).catch((error: unknown) => asError(error).message)
  if (status !== 200) throw new RetryableError('MetricsNotPushed', `push metrics to ${url}: ${status}`)
}

async function post(url: string, body: string): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  const request = openRequest(url, { method: 'POST', headers }, (response) => {
    response.resume()
    resolve(response.statusCode)
  })
  request.on('error', reject).end(body)
  const late = setTimeout(() => request.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)), TIMEOUT_MS)
  return await promise.finally(() => clearTimeout(late))
}

function metricOf(metric: Counter | Histogram, period: Period): object {
  const { name, help: description } = metric
  const aggregationTemporality = CUMULATIVE
  if (metric.type === 'histogram') {
    return { name, description, histogram: { aggregationTemporality, dataPoints: spreadPoints(metric, period) } }
  }
  const dataPoints = metric.samples().map(({ labels, value }) => ({ ...pointOf(labels, period), asDouble: value }))
  return { name, description, sum: { aggregationTemporality, isMonotonic: true, dataPoints } }
}

function spreadPoints(histogram: Histogram, period: Period): object[] {
  return histogram.spreads().map(({ labels, counts, count, sum }) => ({
    ...pointOf(labels, period),
    count: String(count),
    sum,
    bucketCounts: counts.map(String),
    explicitBounds: histogram.bounds,
  }))
}

/** 64-bit numbers are strings in OTLP's JSON. */
function pointOf(labels: Readonly<Record<string, string>>, { startedMs, nowMs }: Period): object {
  const nanoseconds = (ms: number) => `${Math.floor(ms)}000000`
  const [startTimeUnixNano, timeUnixNano] = [nanoseconds(startedMs), nanoseconds(nowMs)]
  return { attributes: attributesOf(labels), startTimeUnixNano, timeUnixNano }
}

function attributesOf(labels: Readonly<Record<string, string>>): object[] {
  return Object.entries(labels).map(([key, stringValue]) => ({ key, value: { stringValue } }))
}
