// Which answer each outcome of a handler gets, and what is counted and logged about it.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ConflictError, CorruptionError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { Handle } from '#shared/runtime/context.ts'
import type { HandleEvent, Outcome } from '#shared/runtime/receiver.ts'
import { eventHeaders, post, startFunction } from './runtime-support.ts'

const test = suite('answers of a function')

type Expected = { status: number; outcome: Outcome; runs: number; retryAfter?: string; level: string; reason?: string }

/** Sends one event to a function with that handler, and checks answer, counters and log. */
async function expectEnd(handle: Handle, expected: Expected): Promise<void> {
  let runs = 0
  const counted: Handle = (...given) => {
    runs += 1
    return handle(...given)
  }
  const served = await startFunction({ handle: counted })
  const answer = await post(served.url, eventHeaders())
  await served.stop()
  assert.is(answer.status, expected.status)
  assert.is(answer.text, '', 'a broker takes a body for a broken event')
  assert.is(answer.retryAfter, expected.retryAfter ?? null)
  assert.is(runs, expected.runs)
  assert.is(served.metrics.requests.get({ function: 'test', outcome: expected.outcome }), 1)
  assert.is(served.metrics.requests.samples().length, 1)
  const line = served.lines.find(({ name }) => name === 'upload-1')
  assert.is(line?.level, expected.level)
  assert.is(line?.reason, expected.reason)
  assert.equal([line?.['kind'], line?.['namespace'], line?.['step']], ['Upload', 'velero', 'test'])
}

function throwing(error: unknown): Handle {
  return async () => {
    throw error
  }
}

test('a normal end is 202 and its words are logged', async () => {
  await expectEnd(async () => 'moved 5 bytes', { status: 202, outcome: 'done', runs: 1, level: 'info' })
})

test('a RetryableError is 503 with the delay that it names', async () => {
  const end = { status: 503, outcome: 'retry', runs: 1, level: 'warn', reason: 'StoreBusy' } as const
  await expectEnd(throwing(new RetryableError('StoreBusy', 's3: 503')), { ...end, retryAfter: '5' })
  const delayed = new RetryableError('StoreBusy', 's3: 503', { retryAfterSeconds: 17 })
  await expectEnd(throwing(delayed), { ...end, retryAfter: '17' })
})

test('a conflict is decided again, three times at most, and is 503 then', async () => {
  const conflict = new ConflictError('Conflict', 'someone was first')
  const end = { status: 503, outcome: 'conflict', runs: 4, level: 'warn', reason: 'Conflict', retryAfter: '5' } as const
  await expectEnd(throwing(conflict), end)
})

test('a conflict that settles is never shown', async () => {
  let left = 3
  const handle: Handle = async () => {
    left -= 1
    if (left >= 0) throw new ConflictError('Conflict', 'someone was first')
    return 'done at last'
  }
  await expectEnd(handle, { status: 202, outcome: 'done', runs: 4, level: 'info' })
})

test('a TerminalError that could not be written is logged and not asked for again', async () => {
  const end = { status: 202, outcome: 'terminal', runs: 1, level: 'error' } as const
  await expectEnd(throwing(new TerminalError('Forbidden', 'get Upload')), { ...end, reason: 'Forbidden' })
  await expectEnd(throwing(new CorruptionError('Corrupt', 'chunk')), { ...end, reason: 'Corrupt' })
})

test('anything else is a bug: 503, with its stack in the log', async () => {
  const end = {
    status: 503,
    outcome: 'bug',
    runs: 1,
    level: 'error',
    reason: 'InternalError',
    retryAfter: '5',
  } as const
  await expectEnd(throwing(new TypeError('x is not a function')), end)
  await expectEnd(throwing('a string'), end)
  await expectEnd(throwing(undefined), end)
})

test('a handler that runs past its deadline is asked to stop, and the event comes again', async () => {
  const served = await startFunction({ handle: untilAborted, deadlineMs: 20 })
  const answer = await post(served.url, eventHeaders())
  await served.stop()
  assert.is(answer.status, 503)
  assert.is(served.metrics.requests.get({ function: 'test', outcome: 'aborted' }), 1)
})

test('a handler that stops at its deadline in order has a normal end', async () => {
  const handle: Handle = (context, ref, signal) => untilAborted(context, ref, signal).catch(() => 'checkpointed')
  const served = await startFunction({ handle, deadlineMs: 20 })
  const answer = await post(served.url, eventHeaders())
  await served.stop()
  assert.is(answer.status, 202)
})

test('the sender that goes away stops its handler', async () => {
  const stopped = Promise.withResolvers<string>()
  const handle: Handle = async (context, ref, signal) => {
    sender.abort()
    await untilAborted(context, ref, signal).catch((error: Error) => stopped.resolve(error.message))
    return 'checkpointed'
  }
  const served = await startFunction({ handle })
  const sender = new AbortController()
  const sent = fetch(served.url, { method: 'POST', headers: eventHeaders(), body: '{}', signal: sender.signal })
  await sent.catch(() => undefined)
  assert.match(await stopped.promise, 'the sender has closed the request')
  await served.stop()
})

test('wake-ups are counted by their cause, and the handler is told', async () => {
  const causes: string[] = []
  const handle: Handle = async ({ cause, id, nowMs }) => {
    causes.push(`${cause} ${id} ${Math.abs(Date.now() - nowMs) < 5000}`)
    return 'ok'
  }
  const served = await startFunction({ handle })
  await post(served.url, eventHeaders())
  await post(served.url, eventHeaders({ 'ce-type': 'dev.dormouse.wake', 'ce-id': 'woken' }))
  await served.stop()
  assert.equal(causes, ['event 0f5e true', 'sweep woken true'])
  assert.is(served.metrics.wakeups.get({ kind: 'Upload', cause: 'event' }), 1)
  assert.is(served.metrics.wakeups.get({ kind: 'Upload', cause: 'sweep' }), 1)
})

test('an event about no object of ours goes to handleEvent where there is one', async () => {
  const types: unknown[] = []
  const handleEvent: HandleEvent = async (_context, event) => {
    types.push(event['type'])
    return 'swept'
  }
  const served = await startFunction({ kinds: [], handleEvent })
  const tick = { 'ce-type': 'dev.knative.sources.ping', 'ce-kind': undefined, 'ce-name': undefined }
  assert.is((await post(served.url, eventHeaders(tick))).status, 202)
  await served.stop()
  assert.equal(types, ['dev.knative.sources.ping'])
  assert.is(served.metrics.wakeups.samples().length, 0)
})

test('health, metrics and unknown paths', async () => {
  const served = await startFunction()
  await post(served.url, eventHeaders())
  const get = async (path: string) => {
    const response = await fetch(`${served.url}${path}`)
    return { status: response.status, text: await response.text() }
  }
  assert.equal(await get('health/liveness'), { status: 200, text: '' })
  assert.equal(await get('health/readiness'), { status: 200, text: '' })
  assert.equal(await get('elsewhere'), { status: 404, text: '' })
  const metrics = await get('metrics')
  assert.match(metrics.text, '# TYPE dormouse_requests_total counter\n')
  assert.match(metrics.text, 'dormouse_requests_total{function="test",outcome="done"} 1\n')
  assert.match(metrics.text, 'dormouse_wakeups_total{cause="event",kind="Upload"} 1\n')
  assert.match(metrics.text, /dormouse_request_seconds_bucket\{function="test",le="0.1"\} 1\n/)
  assert.match(metrics.text, /dormouse_request_seconds_count\{function="test"\} 1\n/)
  await served.stop()
})

const untilAborted: Handle = (_context, _ref, signal) =>
  new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })

test.run()
