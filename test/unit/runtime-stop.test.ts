// How a function ends: by SIGTERM in a process of its own, and in the same way inside this process.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Handle } from '#shared/runtime/context.ts'
import { eventHeaders, post, startFunction } from './runtime-support.ts'

const test = suite('end of a function')

/** Ends `lateMs` after it was told to. */
function stopping(lateMs: number): { handle: Handle; begun: Promise<void> } {
  const begun = Promise.withResolvers<void>()
  const handle: Handle = async (_context, _ref, signal) => {
    begun.resolve()
    await once(signal, 'abort')
    await sleep(lateMs)
    return 'checkpointed'
  }
  return { handle, begun: begun.promise }
}

test('a running handler is told, waited for, and its answer still arrives', async () => {
  const { handle, begun } = stopping(50)
  let closed = false
  const onStop = async () => {
    closed = true
  }
  const served = await startFunction({ handle, onStop })
  const answer = post(served.url, eventHeaders())
  await begun
  await served.stop()
  assert.ok(closed)
  assert.equal(await answer, { status: 202, retryAfter: null, text: '', connection: 'close' })
})

test('a stopping function is not ready and takes nothing new', async () => {
  const { handle, begun } = stopping(100)
  const served = await startFunction({ handle })
  // On connections that were open before, because no new ones can be opened.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const ask = async (method: string, path: string, headers = {}) => {
    const [response] = await once(request(`${served.url}${path}`, { agent, method, headers }).end(), 'response')
    response.resume()
    return response.statusCode
  }
  assert.is(await ask('GET', 'health/readiness'), 200)
  const answer = post(served.url, eventHeaders())
  await begun
  // A request that is half sent keeps its connection open during the stop.
  const half = request(served.url, { agent, method: 'POST', headers: { ...eventHeaders(), 'content-length': 2 } })
  half.write('{')
  await sleep(30)
  const stopped = served.stop()
  half.end('}')
  const [response] = await once(half, 'response')
  assert.equal([response.statusCode, response.headers.connection], [503, 'close'])
  assert.is((await answer).status, 202)
  await stopped
  assert.is(await ask('GET', 'health/readiness').catch((error: NodeJS.ErrnoException) => error.code), 'ECONNREFUSED')
})

test('a handler that does not end is not waited for longer than the drain', async () => {
  const { promise: never } = Promise.withResolvers<string>()
  const begun = Promise.withResolvers<void>()
  const handle: Handle = () => {
    begun.resolve()
    return never
  }
  const served = await startFunction({ handle, drainMs: 30 })
  const cut = post(served.url, eventHeaders()).catch(() => 'cut')
  await begun.promise
  await served.stop()
  assert.is(await cut, 'cut')
  assert.ok(served.lines.some(({ reason }) => reason === 'DrainTimeout'))
})

test('an idle connection does not hold up the end', async () => {
  const served = await startFunction()
  const agent = new Agent({ keepAlive: true })
  const [response] = await once(request(`${served.url}health/liveness`, { agent }).end(), 'response')
  response.resume()
  await once(response, 'end')
  const startMs = performance.now()
  await served.stop()
  assert.ok(performance.now() - startMs < 2000)
  agent.destroy()
})

test('a clean-up that fails is logged and the function ends', async () => {
  const served = await startFunction({ onStop: () => Promise.reject(new Error('logout failed')) })
  await served.stop()
  assert.is(served.lines.at(-1)?.level, 'error')
})

test('a clean-up that hangs is not waited for longer than its limit', async () => {
  const { promise: never } = Promise.withResolvers<void>()
  const served = await startFunction({ onStop: () => never, cleanUpMs: 50 })
  await served.stop()
  assert.is(served.lines.at(-1)?.reason, 'CleanUpTimeout')
})

/** A function in a process of its own that works until it is told to stop, and half a second longer. */
const PROGRAM = `
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { serve } from '#shared/runtime/serve.ts'
const handle = async ({ log }, _ref, signal) => {
  log.info('begun')
  await once(signal, 'abort')
  await sleep(500)
  return 'checkpointed'
}
await serve({ name: 'test', kinds: ['Upload'], handle, port: 0 })
`

async function startProcess(): Promise<{
  child: ChildProcess
  url: string
  lines: string[]
  line: (text: string) => Promise<void>
}> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  createInterface(child.stdout).on('line', (text) => lines.push(JSON.parse(text).msg))
  const line = async (text: string) => {
    while (!lines.some((one) => one.startsWith(text)) && child.exitCode === null) await sleep(10)
  }
  await line('listens on port')
  return { child, url: `http://127.0.0.1:${lines[0]?.split(' ').at(-1)}/`, lines, line }
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} lets the handler come to its end, logs it, and exits with 0`, async () => {
    const { child, url, lines, line } = await startProcess()
    const answer = post(url, eventHeaders())
    await line('begun')
    child.kill(signal)
    child.kill(signal) // a second signal changes nothing
    assert.is((await answer).status, 202)
    const [code] = await once(child, 'exit')
    assert.is(code, 0)
    assert.equal(lines.slice(1), ['begun', 'stops', 'checkpointed'])
  })
}

test.run()
