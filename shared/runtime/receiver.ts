// From an event to an answer: finds the object, runs the handler, and maps its errors to answers that senders understand.

import type { KindName } from '#shared/api/kinds.ts'
import { REQUEST_MS } from '#shared/kernel/call-limits.ts'
import { type Clock, systemClock } from '#shared/kernel/clock.ts'
import { asError, ConflictError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { backoffMs } from '#shared/kernel/retry.ts'
import type { Context, Handle } from './context.ts'
import { checkEvent } from './event.ts'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'
import { BadEvent, causeOf, type EventAttributes, refFromEvent } from './ref.ts'

/**
 * 202: done, also "nothing to do". 503: deliver it again; the only code that both an ApiServerSource and a broker retry.
 * 400: not an event for this function, never delivered again. The body stays empty: a broker takes a 2xx with a body for a
 * broken event and delivers it again.
 */
export type Answer = { status: 202 | 400 | 503; retryAfterSeconds?: number }

export type Outcome = 'done' | 'bad event' | 'retry' | 'conflict' | 'aborted' | 'terminal' | 'bug'

/** Handles an event that is not about an object of the function's kinds: a PingSource's tick, a dead letter. */
export type HandleEvent = (context: Context, event: EventAttributes, signal: AbortSignal) => Promise<string>

export type ReceiverOptions = {
  /** The function's name, as in the label `function` of the metrics. */
  name: string
  /** Events about other kinds go to `handleEvent`, or are refused when there is none. */
  kinds: readonly KindName[]
  handle: Handle
  handleEvent?: HandleEvent
  log: Logger
  metrics: Metrics
  clock?: Clock
  /** The handler's signal aborts after this long. */
  deadlineMs?: number
}

/** Never rejects. `signal` aborts when the sender no longer waits for the answer. */
export type Receive = (event: EventAttributes, signal?: AbortSignal) => Promise<Answer>

type Work = { log: Logger; run: (signal: AbortSignal) => Promise<string> }
type Ending = [Outcome, Answer]

const RETRY_AFTER_SECONDS = 5
/** Another writer has changed the same object: a second run nearly always succeeds. */
const CONFLICT_RERUNS = 3
const CONFLICT_DELAY = { firstDelayMs: 20, maxDelayMs: 200 }

export function createReceiver(options: ReceiverOptions): Receive {
  const { name, metrics, clock = systemClock } = options
  return async (event, signal) => {
    const startedMs = clock.monotonicMs()
    const [outcome, answer] = await take(event, signal, options)
    metrics.requests.add({ function: name, outcome })
    metrics.requestSeconds.observe({ function: name }, (clock.monotonicMs() - startedMs) / 1000)
    return answer
  }
}

async function take(event: EventAttributes, signal: AbortSignal | undefined, options: ReceiverOptions) {
  try {
    checkEvent(event)
    return await runWork(workFor(event, options), signal, options)
  } catch (error) {
    if (!(error instanceof BadEvent)) throw error
    options.log.warn({ reason: 'BadEvent' }, error.message)
    return ['bad event', { status: 400 }] satisfies Ending
  }
}

/** The handler for the event, with a log that names the object. */
function workFor(event: EventAttributes, options: ReceiverOptions): Work {
  const { kinds, handle, handleEvent, metrics, clock = systemClock } = options
  const id = String(event['id'])
  const cause = causeOf(event)
  if (handleEvent !== undefined && !kinds.some((kind) => kind === event['kind'])) {
    const log = options.log.child({ step: options.name })
    return { log, run: (signal) => handleEvent({ log, cause, id, nowMs: clock.nowMs() }, event, signal) }
  }
  const ref = refFromEvent(event, kinds)
  const log = options.log.child({ step: options.name, ...ref })
  metrics.wakeups.add({ kind: ref.kind, cause })
  return { log, run: (signal) => handle({ log, cause, id, nowMs: clock.nowMs() }, ref, signal) }
}

async function runWork(work: Work, signal: AbortSignal | undefined, options: ReceiverOptions): Promise<Ending> {
  const { deadlineMs = REQUEST_MS, clock = systemClock } = options
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(new Error(`the request is ${deadlineMs} ms old`)), deadlineMs)
  const ending = signal === undefined ? deadline.signal : AbortSignal.any([deadline.signal, signal])
  const startedMs = clock.monotonicMs()
  try {
    const words = await withReruns(work, ending, clock)
    work.log.info({ durationMs: Math.round(clock.monotonicMs() - startedMs) }, words)
    return ['done', { status: 202 }]
  } catch (thrown) {
    return endingOf(asError(thrown), ending, work.log)
  } finally {
    clearTimeout(timer)
  }
}

async function withReruns(work: Work, signal: AbortSignal, clock: Clock): Promise<string> {
  for (let rerun = 0; ; rerun++) {
    try {
      signal.throwIfAborted()
      return await work.run(signal)
    } catch (error) {
      if (!(error instanceof ConflictError) || rerun === CONFLICT_RERUNS) throw error
      await clock.sleep(backoffMs(rerun + 1, CONFLICT_DELAY), signal)
    }
  }
}

function endingOf(error: Error, signal: AbortSignal, log: Logger): Ending {
  const again: Answer = { status: 503, retryAfterSeconds: RETRY_AFTER_SECONDS }
  const cause = error.cause === undefined ? undefined : asError(error.cause).message
  if (error instanceof RetryableError) {
    log.warn({ reason: error.reason, cause }, error.message)
    return ['retry', { ...again, retryAfterSeconds: error.retryAfterSeconds ?? RETRY_AFTER_SECONDS }]
  }
  if (error instanceof ConflictError) {
    log.warn({ reason: error.reason, cause }, error.message)
    return ['conflict', again]
  }
  if (error instanceof TerminalError) {
    // The controller writes terminal errors into the status, or into an Event. An error that arrives here could not be written, such as
    // Forbidden: another delivery changes nothing, and the sweep retries every minute anyway.
    log.error({ reason: error.reason, cause }, error.message)
    return ['terminal', { status: 202 }]
  }
  if (signal.aborted) {
    log.warn({ reason: 'Aborted', cause: error.message }, asError(signal.reason).message)
    return ['aborted', again]
  }
  log.error({ reason: 'InternalError', err: error }, error.message)
  return ['bug', again]
}
