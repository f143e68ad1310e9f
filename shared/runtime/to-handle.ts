// The same function in the form that Knative's own runtime calls: `handle(context, event)`.

import { createLogger, type Logger } from './logger.ts'
import { createMetrics } from './metrics.ts'
import { createReceiver } from './receiver.ts'
import type { EventAttributes } from './ref.ts'
import type { ServeOptions } from './serve.ts'

/** An empty body with a status of its own: without it faas-js-runtime would send the whole object as the body. */
type KnativeAnswer = { statusCode: number; headers: Record<string, string>; body: '' }
type KnativeHandle = (context: unknown, event?: EventAttributes) => Promise<KnativeAnswer>

/** `event` may be a CloudEvent of the SDK: its attributes are read, its methods are not called. */
export function toHandle(options: Omit<ServeOptions, 'port' | 'onStop' | 'drainMs' | 'cleanUpMs'>): KnativeHandle {
  const log: Logger = options.log ?? createLogger(options.name)
  const receive = createReceiver({ ...options, log, metrics: options.metrics ?? createMetrics() })
  return async (_context, event = {}) => {
    const { status, retryAfterSeconds } = await receive(event)
    const headers: Record<string, string> =
      retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }
    return { statusCode: status, headers, body: '' }
  }
}
