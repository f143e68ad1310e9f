// Runs a function as an HTTP server, and shuts it down gracefully.

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { systemClock } from '#shared/kernel/clock.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import { createApp } from './app.ts'
import { http } from './http.ts'
import { createLogger, type Logger } from './logger.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { createReceiver, type ReceiverOptions } from './receiver.ts'

export type ServeOptions = Pick<
  ReceiverOptions,
  'name' | 'kinds' | 'handle' | 'handleEvent' | 'deadlineMs' | 'clock'
> & {
  /** 0: any free port. Unset: the variable PORT, as Knative sets it, else 8080. */
  port?: number
  log?: Logger
  metrics?: Metrics
  /** Runs at the end, after the last handler: closes movers and sessions. */
  onStop?: () => Promise<void>
  /** Time limit of the wait for running handlers. */
  drainMs?: number
  /** Time limit of the wait for `onStop`. */
  cleanUpMs?: number
}

export type Served = {
  port: number
  log: Logger
  metrics: Metrics
  /** Accepts no more events, aborts the handlers' signals, waits for them, then resolves. */
  stop(why?: string): Promise<void>
}

const PUSH_EVERY_MS = MINUTE_MS
/** Longer than the 90 s after which Go's client drops an idle connection: otherwise it may send into one that was just closed. */
const KEEP_ALIVE_MS = 120_000
/** Shorter than Knative's time between SIGTERM and SIGKILL; a handler needs seconds for its checkpoint. */
const DRAIN_MS = 20_000
/** A vCenter that does not answer must not keep the process alive. */
const CLEAN_UP_MS = 5000

/** Resolves once the server listens. SIGTERM and SIGINT stop it and end the process with code 0. */
export async function serve(options: ServeOptions): Promise<Served> {
  const served = await listen(options)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => void served.stop(signal).finally(() => process.exit(0)))
  }
  return served
}

/** Like serve, but does not end the process: for tests that run several functions in one process. */
export async function listen(options: ServeOptions): Promise<Served> {
  const { name } = options
  const log = options.log ?? createLogger(name)
  const metrics = options.metrics ?? createMetrics()
  const stopping = new AbortController()
  const receive = createReceiver({ ...options, log, metrics })
  const server = http.createServer(createApp({ name, receive, log, metrics, stopping: stopping.signal }))
  server.keepAliveTimeout = KEEP_ALIVE_MS
  const port = await listening(server, options.port ?? Number(process.env['PORT'] ?? 8080))
  log.info({ step: name }, `listens on port ${port}`)
  const push = await startPushing(name, metrics, log)
  let stopped: Promise<void> | undefined
  const stop = (why = 'stop') => {
    stopped ??= drain(server, stopping, options, log, why).then(push)
    return stopped
  }
  return { port, log, metrics, stop }
}

/** Pushes every minute if a collector is configured; returns the function for the last push, before the end. */
async function startPushing(name: string, metrics: Metrics, log: Logger): Promise<() => Promise<void>> {
  const env = process.env
  if (!env['OTEL_EXPORTER_OTLP_ENDPOINT'] && !env['OTEL_EXPORTER_OTLP_METRICS_ENDPOINT']) return async () => undefined
  const { collectorUrl, pushMetrics } = await import('./otlp.ts')
  const url = collectorUrl(env) ?? ''
  const instance = `${hostname()}-${process.pid}`
  const startedMs = systemClock.nowMs()
  const push = () =>
    pushMetrics(url, name, instance, metrics, { startedMs, nowMs: systemClock.nowMs() }).catch((error: Error) =>
      log.warn({ reason: 'MetricsNotPushed' }, error.message),
    )
  const timer = setInterval(() => void push(), PUSH_EVERY_MS).unref()
  return () => {
    clearInterval(timer)
    return push()
  }
}

function listening(server: Server, port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  server.once('error', reject)
  server.listen(port, () => resolve((server.address() as AddressInfo).port))
  return promise
}

async function drain(server: Server, stopping: AbortController, options: ServeOptions, log: Logger, why: string) {
  const { drainMs = DRAIN_MS, cleanUpMs = CLEAN_UP_MS, onStop = async () => undefined } = options
  log.info({ reason: why }, 'stops')
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  server.close(() => resolve()) // when the last request has been answered
  stopping.abort(new Error(`the function is being stopped: ${why}`))
  if (!(await endsWithin(drainMs, closed))) {
    log.error({ durationMs: drainMs, reason: 'DrainTimeout' }, 'handlers did not end in time')
    server.closeAllConnections()
  }
  const cleaned = onStop().catch((error: unknown) => log.error({ err: error }, 'clean-up at the end failed'))
  if (!(await endsWithin(cleanUpMs, cleaned))) {
    log.error({ durationMs: cleanUpMs, reason: 'CleanUpTimeout' }, 'clean-up did not end in time')
  }
}

async function endsWithin(limitMs: number, work: Promise<void>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), limitMs)
  return await Promise.race([work.then(() => true), late]).finally(() => clearTimeout(timer))
}
