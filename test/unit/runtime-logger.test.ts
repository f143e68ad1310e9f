// Log lines are JSON with level words and ISO times, and contain no secret.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createLogger } from '#shared/runtime/logger.ts'

const test = suite('logger')

function collecting(level?: string) {
  const lines: Record<string, unknown>[] = []
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) }
  return { log: createLogger('upload', { destination, ...(level === undefined ? {} : { level }) }), lines }
}

test('a line names the function and what was said about it', () => {
  const { log, lines } = collecting()
  log.child({ kind: 'Upload', name: 'u1' }).info({ bytes: 5, durationMs: 7 }, 'moved')
  const { time, ...rest } = lines[0] as { time: string }
  assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  const said = { level: 'info', function: 'upload', kind: 'Upload', name: 'u1', bytes: 5, durationMs: 7, msg: 'moved' }
  assert.equal(rest, said)
})

test('what is called password, secret, token or authorization is hidden, in any spelling and at any depth', () => {
  const { log, lines } = collecting()
  const names = [
    'password',
    'secret',
    'token',
    'authorization',
    'Authorization',
    'secretAccessKey',
    'aws_secret_access_key',
  ]
  for (const name of [...names, 'sessionToken', 'passphrase', 'PASSWORD', 'customerKey', 'credentials']) {
    log.info({ [name]: 'geheim', a: { b: [{ c: { [name]: { d: 'geheim' } } }] } }, 'x')
    log.child({ [name]: 'geheim' }).info('x')
  }
  assert.not.match(JSON.stringify(lines), 'geheim')
  assert.match(JSON.stringify(lines), '**redacted**')
})

test('of an error only its text, its stack and its causes are logged', () => {
  const { log, lines } = collecting()
  const cause = Object.assign(new Error('refused'), { headers: { cookie: 'geheim' } })
  log.error({ err: Object.assign(new TypeError('broken', { cause }), { request: { body: 'geheim' } }) }, 'x')
  const { err } = lines[0] as { err: Record<string, unknown> }
  assert.equal([err['type'], err['message'], (err['cause'] as Error).message], ['TypeError', 'broken', 'refused'])
  assert.match(String(err['stack']), 'runtime-logger.test.ts')
  assert.not.match(JSON.stringify(lines), 'geheim')
})

test('the level is honoured', () => {
  const { log, lines } = collecting('warn')
  log.info('no')
  log.warn('yes')
  assert.is(lines.length, 1)
})

test.run()
