// The HTTP side of a function: POST / takes a CloudEvent, the other paths are for Knative and for monitoring.

import express, { type Express, type Request, type Response } from 'express'
import { KiB } from '#shared/kernel/units.ts'
import { eventFromRequest, mayBeEvent } from './event.ts'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'
import type { Answer, Receive } from './receiver.ts'
import { BadEvent } from './ref.ts'

/** An event that names an object has a few hundred bytes; with the whole object in it, at most the API server's limits. */
const BODY_LIMIT_BYTES = 256 * KiB

type AppOptions = {
  name: string
  receive: Receive
  log: Logger
  metrics: Metrics
  /** Aborts when the process has to end. */
  stopping: AbortSignal
}

export function createApp(options: AppOptions): Express {
  const { metrics, stopping } = options
  const app = express()
  app.disable('x-powered-by').disable('etag')
  app.get('/health/liveness', (_request, response) => void response.status(200).end())
  app.get('/health/readiness', (_request, response) => void response.status(stopping.aborted ? 503 : 200).end())
  app.get('/metrics', (_request, response) => void response.type('text/plain; version=0.0.4').send(metrics.render()))
  app.post('/', (request, response, next) => refuseEarly(request, response, next, options))
  app.post('/', express.text({ type: () => true, limit: BODY_LIMIT_BYTES }), (request, response) =>
    takeEvent(request, response, options),
  )
  app.use((_request, response) => void response.status(404).end())
  app.use((error: unknown, _request: Request, response: Response, _next: unknown) =>
    refuseBody(error, response, options),
  )
  return app
}

/** A request without an event in its headers, and without a content type for one in its body, is refused before its body is read. */
function refuseEarly(request: Request, response: Response, next: () => void, options: AppOptions): void {
  if (mayBeEvent(request.headers)) {
    next()
    return
  }
  refuseEvent('specversion is missing: these are neither the headers nor the content type of a CloudEvent', options)
  response.set('Connection', 'close').status(400).end()
}

async function takeEvent(request: Request, response: Response, options: AppOptions): Promise<void> {
  const { stopping, receive } = options
  const gone = new AbortController()
  response.once('close', () => gone.abort(new Error('the sender has closed the request')))
  try {
    const event = await eventFromRequest(request.headers, typeof request.body === 'string' ? request.body : '')
    answer(response, await receive(event, AbortSignal.any([gone.signal, stopping])), stopping)
  } catch (error) {
    if (!(error instanceof BadEvent)) throw error
    refuseEvent(error.message, options)
    answer(response, { status: 400 }, stopping)
  }
}

function answer(response: Response, { status, retryAfterSeconds }: Answer, stopping: AbortSignal): void {
  if (stopping.aborted) response.set('Connection', 'close') // otherwise the drain would wait for an idle connection
  if (retryAfterSeconds !== undefined) response.set('Retry-After', String(retryAfterSeconds))
  response.status(status).end()
}

function refuseEvent(why: string, { log, metrics, name }: AppOptions): void {
  metrics.requests.add({ function: name, outcome: 'bad event' })
  log.warn({ reason: 'BadEvent' }, why)
}

/** Bodies that express itself refused: too long (413), incomplete, or in an unknown encoding. */
function refuseBody(error: unknown, response: Response, options: AppOptions): void {
  const status = (error as { status?: unknown }).status
  const refused = typeof status === 'number' && status >= 400 && status < 500
  if (refused) refuseEvent(String((error as Error).message), options)
  else options.log.error({ reason: 'InternalError', err: error }, 'request failed outside of the handler')
  if (response.headersSent) return
  if (!refused) answer(response, { status: 503, retryAfterSeconds: 5 }, options.stopping)
  else response.status(status === 413 ? 413 : 400).end()
}
