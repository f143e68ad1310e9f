// The S3 store when the network or the server misbehaves: lost answers, hang-ups, refusals, half answers, aborts.

import { randomBytes } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { KiB, MiB } from '#shared/kernel/units.ts'
import type { S3Settings } from '#shared/repository/stores/s3/settings.ts'
import { createS3Store, type S3StoreOptions } from '#shared/repository/stores/s3/store.ts'
import { rejects } from './cluster-rejects.ts'
import {
  type Gateway,
  type Mischief,
  type ProxyServer,
  settingsFor,
  startGateway,
  startProxy,
  startRawServer,
} from './store-s3-support.ts'

const test = suite('S3 store in trouble')
let gateway: Gateway
let proxy: ProxyServer
let decide: (request: ProxyServer['requests'][number], index: number) => Mischief
const quick = { attempts: 4, firstDelayMs: 1, maxDelayMs: 2 }
const store = (change: Partial<S3Settings> = {}, options: S3StoreOptions = {}) =>
  createS3Store(settingsFor(gateway.s3, { url: proxy.url, ...change }), { retry: quick, ...options })

test.before(async () => {
  gateway = await startGateway(false)
})
test.before.each(async () => {
  decide = () => 'pass'
  proxy = await startProxy(gateway.s3.url, (request, index) => decide(request, index))
})
test.after.each(async () => {
  await proxy.stop()
})
test.after(async () => {
  await gateway.stop()
})

const failing = (code: string, status: number, headers = {}): Mischief => ({
  status,
  headers: { 'content-type': 'application/xml', ...headers },
  body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>words of the server</Message></Error>`,
})
const firstPut = (mischief: Mischief) => {
  let done = false
  return (request: ProxyServer['requests'][number]): Mischief => {
    if (done || request.method !== 'PUT') return 'pass'
    done = true
    return mischief
  }
}

test('a PUT that was carried out although its answer was lost counts as ours', async () => {
  for (const mischief of ['loseAnswer', 'hangUp', failing('InternalError', 500)] satisfies Mischief[]) {
    decide = firstPut(mischief)
    const target = store()
    const body = randomBytes(3 * MiB)
    assert.is(await target.putIfAbsent('roots/s', body), true, JSON.stringify(mischief))
    assert.is(Buffer.compare((await target.get('roots/s'))!, body), 0)
    assert.is(await target.putIfAbsent('roots/s', body), false)
  }
})

test('a PUT that is carried out only after the next attempt has looked counts as ours', async () => {
  let heads = 0
  const lose = firstPut('loseAnswer')
  decide = (request) => (request.method === 'HEAD' && heads++ === 0 ? { status: 404 } : lose(request))
  assert.is(await store().putIfAbsent('roots/s', Buffer.from('x')), true)
  assert.is(heads, 2)
})

test("a lost answer never turns someone else's object into ours, even with the same bytes", async () => {
  const settings = settingsFor(gateway.s3, { url: proxy.url })
  const body = Buffer.from('tombstone')
  assert.is(await createS3Store(settings).putIfAbsent('roots/s', body), true)
  decide = firstPut('loseAnswer')
  assert.is(await createS3Store(settings, { retry: quick }).putIfAbsent('roots/s', body), false)
})

test('a store that keeps no metadata is asked for the bytes', async () => {
  const settings = settingsFor(gateway.s3, { url: proxy.url })
  decide = firstPut('loseAnswer')
  const body = randomBytes(1000)
  const answers: string[] = []
  const forgetful = await startProxy(proxy.url, (request) => {
    answers.push(request.method)
    // The answer of a server without user metadata.
    if (request.method === 'HEAD') return { status: 200, headers: { etag: '"x"', 'content-length': '1000' } }
    return 'pass'
  })
  const target = createS3Store({ ...settings, url: forgetful.url }, { retry: quick })
  assert.is(await target.putIfAbsent('roots/s', body), true)
  assert.ok(answers.includes('HEAD') && answers.includes('GET'), String(answers))
  decide = firstPut('loseAnswer')
  assert.is(await target.putIfAbsent('roots/s', randomBytes(1000)), false)
  await forgetful.stop()
})

test('a conflict between two writers is asked again, not taken for an answer', async () => {
  decide = firstPut(failing('ConditionalRequestConflict', 409))
  assert.is(await store().putIfAbsent('roots/s', Buffer.from('x')), true)
})

test('temporary errors are retried, and lasting ones end as a RetryableError with their reason', async () => {
  const cases: [Mischief, string][] = [
    [failing('SlowDown', 503), 'S3SlowDown'],
    [failing('TooManyRequests', 429), 'S3SlowDown'],
    [failing('InternalError', 500), 'S3Unavailable'],
    [failing('ServiceUnavailable', 503), 'S3Unavailable'],
    [{ status: 502, body: '<html>Bad Gateway</html>' }, 'S3Unavailable'],
    [failing('XMinioStorageFull', 507), 'S3Full'],
    [failing('QuotaExceeded', 403), 'S3Full'],
    [failing('ExpiredToken', 400), 'S3CredentialsExpired'],
    [failing('RequestTimeTooSkewed', 403), 'S3ClockSkewed'],
    [failing('BadDigest', 400), 'S3Unavailable'],
    ['hangUp', 'S3Unavailable'],
  ]
  for (const [mischief, reason] of cases) {
    const before = proxy.requests.length
    decide = firstPut(mischief)
    assert.is(await store().putIfAbsent('key', Buffer.from('x')), true, reason)
    decide = () => mischief
    await rejects(store().putIfAbsent('key', Buffer.from('x')), RetryableError, reason)
    await rejects(store().get('key'), RetryableError, reason)
    assert.ok(
      proxy.requests.length - before <= 2 + 2 * 2 * quick.attempts,
      `${proxy.requests.length - before} requests`,
    )
  }
})

test('refusals are not repeated', async () => {
  const cases: [Mischief, string][] = [
    [failing('AccessDenied', 403), 'S3AccessDenied'],
    [failing('AuthorizationHeaderMalformed', 400), 'S3WrongRegion'],
    [failing('NoSuchBucket', 404), 'BucketMissing'],
    [failing('InvalidObjectState', 403), 'S3ObjectArchived'],
    [failing('InvalidArgument', 400), 'S3Refused'],
    [{ status: 404, body: '<html>not here</html>' }, 'S3Refused'],
  ]
  for (const [mischief, reason] of cases) {
    decide = () => mischief
    const before = proxy.requests.length
    await rejects(store().get('key'), TerminalError, reason)
    assert.is(proxy.requests.length - before, 1, reason)
  }
})

test('how long the server asks to wait is handed on', async () => {
  decide = () => failing('SlowDown', 503, { 'retry-after': '7' })
  const error = await rejects(store().get('key'), RetryableError, 'S3SlowDown')
  assert.is(error.retryAfterSeconds, 7)
})

test('a web page in place of S3 does not count as an empty repository', async () => {
  decide = () => ({ status: 200, headers: { 'content-type': 'text/html' }, body: '<!doctype html><p>console' })
  await rejects(store().list('')[Symbol.asyncIterator]().next(), RetryableError, 'S3AnswerUnreadable')
})

test('an unreachable server, an unknown name and a silent one are told apart from a refusal', async () => {
  await rejects(store({ url: 'http://127.0.0.1:9' }).get('key'), RetryableError, 'S3Unavailable')
  const error = await rejects(store({ url: 'http://no-such-host.invalid' }).get('key'), RetryableError, 'S3Unavailable')
  assert.match(error.message, 'the name no-such-host.invalid is unknown')
  const silent = await startRawServer('', false)
  await rejects(store({ url: silent.url }, { idleTimeoutMs: 60 }).get('key'), RetryableError, 'S3Unavailable')
  await silent.stop()
})

test('half an answer is never taken for a whole one', async () => {
  const halves = [
    'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this',
    'HTTP/1.1 206 Partial Content\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n',
    'HTTP/1.1 200 OK\r\nconte',
  ]
  for (const half of halves) {
    const server = await startRawServer(half)
    await rejects(store({ url: server.url }).get('key'), RetryableError, 'S3Unavailable')
    await server.stop()
  }
})

test('connections are kept and bounded, and requests beyond the bound wait', async () => {
  const target = store({}, { maxConnections: 3 })
  const body = randomBytes(100 * KiB)
  await Promise.all(Array.from({ length: 40 }, (_, index) => target.putIfAbsent(`k${index}`, body)))
  await Promise.all(Array.from({ length: 40 }, (_, index) => target.get(`k${index}`)))
  assert.is(proxy.requests.length, 80)
  assert.ok(proxy.connections() <= 3, `${proxy.connections()} connections`)
})

test('a connection that the server closed while idle costs a reader no attempt', async () => {
  const target = store({}, { retry: { attempts: 1 } })
  await target.putIfAbsent('key', Buffer.from('x'))
  decide = (_, index) => (index === 1 ? 'hangUp' : 'pass')
  assert.ok(await target.get('key'))
})

test("an abort ends the call with the caller's reason: under way, waiting for a retry, waiting for a connection", async () => {
  const aborted = async (act: (signal: AbortSignal) => Promise<unknown>, afterMs: number) => {
    const reason = new Error('lost the Lease')
    const controller = new AbortController()
    setTimeout(() => controller.abort(reason), afterMs)
    const startMs = performance.now()
    const outcome = await act(controller.signal).catch((error: unknown) => error)
    assert.is(outcome, reason)
    assert.ok(performance.now() - startMs < 2000)
  }
  const silent = await startRawServer('', false)
  const mute = store({ url: silent.url }, { maxConnections: 1 })
  await aborted((signal) => mute.get('key', signal), 20)
  await aborted((signal) => mute.putIfAbsent('key', randomBytes(20 * MiB), signal), 20)
  const busy = mute.get('other').catch(() => {})
  await aborted((signal) => mute.get('key', signal), 20)
  await aborted((signal) => mute.get('key', signal), 0)
  await silent.stop()
  await busy
  decide = () => failing('SlowDown', 503)
  await aborted((signal) => store({}, { retry: { firstDelayMs: 60_000, maxDelayMs: 60_000 } }).get('key', signal), 50)
})

test('server-side encryption is asked for with every object, and the customer key with every read', async () => {
  const header = (name: string) => proxy.requests.map(({ headers }) => headers[name])
  decide = () => ({ status: 200, headers: { etag: '"x"', 'content-length': '0' } })
  await store({ serverSideEncryption: 'AES256' }).putIfAbsent('key', Buffer.from('x'))
  await store({ serverSideEncryption: 'aws:kms', kmsKeyId: 'alias/backups' }).putIfAbsent('key', Buffer.from('x'))
  assert.equal(header('x-amz-server-side-encryption'), ['AES256', 'aws:kms'])
  assert.equal(header('x-amz-server-side-encryption-aws-kms-key-id'), [undefined, 'alias/backups'])
  proxy.requests.length = 0
  const own = store({ customerKey: Buffer.alloc(32, 7).toString('base64') })
  await own.putIfAbsent('key', Buffer.from('x'))
  await own.get('key')
  await own.getRange('key', 0, 1)
  const wanted = Array.from({ length: 3 }, () => Buffer.alloc(32, 7).toString('base64'))
  assert.equal(header('x-amz-server-side-encryption-customer-key'), wanted)
  assert.ok(header('x-amz-server-side-encryption-customer-key-md5').every((md5) => md5 !== undefined))
})

test('the payload is unsigned with a signed checksum, until a policy forbids it', async () => {
  const target = store()
  await target.putIfAbsent('one', Buffer.from('x'))
  const first = proxy.requests[0]!.headers
  assert.is(first['x-amz-content-sha256'], 'UNSIGNED-PAYLOAD')
  assert.is(first['x-amz-checksum-crc32'], 'jNwWgw==')
  assert.match(String(first.authorization), 'x-amz-checksum-crc32')
  assert.is(first['if-none-match'], '*')
  assert.is(first.expect, undefined)
  decide = ({ headers }) =>
    headers['x-amz-content-sha256'] === 'UNSIGNED-PAYLOAD' ? failing('AccessDenied', 403) : 'pass'
  const strict = store()
  proxy.requests.length = 0
  for (const key of ['one', 'two']) assert.is(await strict.putIfAbsent(key, Buffer.from('x')), true)
  assert.is(proxy.requests.length, 3)
})

test('a session token goes along, and path style is chosen by the settings', async () => {
  const credentials = { accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: 'token' }
  decide = () => ({ status: 200, headers: { etag: '"x"', 'content-length': '0' } })
  await store({ credentials, prefix: 'p' }).get('key')
  assert.is(proxy.requests[0]!.headers['x-amz-security-token'], 'token')
  assert.match(proxy.requests[0]!.path, /^\/dormouse\/p\/plugins\/dormouse\/key\?/)
  const virtual = store({ credentials, bucket: 'of-no-one', url: 'http://store.invalid', forcePathStyle: false })
  const error = await rejects(virtual.get('key'), RetryableError, 'S3Unavailable')
  assert.match(error.message, 'the name of-no-one.store.invalid is unknown')
})

test.run()
