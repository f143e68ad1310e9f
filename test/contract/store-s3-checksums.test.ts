// The S3 store and the checksums of what it writes: the location's algorithm, none at all, and stores that refuse every checksum header.

import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { S3Settings } from '#shared/repository/stores/s3/settings.ts'
import { createS3Store, type S3Store } from '#shared/repository/stores/s3/store.ts'
import { bucketSettings } from '#test/support/stores.ts'
import { rejects } from './cluster-rejects.ts'
import { type Mischief, type ProxyServer, startProxy } from './store-s3-support.ts'

const test = suite('S3 store: checksums')
type Request = ProxyServer['requests'][number]
let proxy: ProxyServer
let decide: (request: Request) => Mischief

const TAKEN: Mischief = { status: 200, headers: { etag: '"e"' } }
const refusal = (status: number, code: string): Mischief => {
  const headers = { 'content-type': 'application/xml' }
  return {
    status,
    headers,
    body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>Unsupported header</Message></Error>`,
  }
}
const checksumsOf = ({ headers }: Request) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => /^x-amz-(checksum-|sdk-checksum|trailer)/.test(name)))
const hasChecksum = (request: Request) => Object.keys(checksumsOf(request)).length > 0
const isSigned = ({ headers }: Request) => /^[0-9a-f]{64}$/.test(String(headers['x-amz-content-sha256']))

test.before.each(async () => {
  decide = () => TAKEN
  proxy = await startProxy(undefined, (request) => decide(request))
})
test.after.each(async () => {
  await proxy.stop()
})

const BODY = Buffer.from('dormouse')
const store = (change: Partial<S3Settings> = {}): S3Store => {
  const credentials = { accessKeyId: 'id', secretAccessKey: 'secret' }
  return createS3Store({ ...bucketSettings, url: proxy.url, credentials, ...change }, { retry: { attempts: 1 } })
}

test('a store that answers 400 or 501 to a checksum is written to without one, and asked only once', async () => {
  for (const [status, code] of [
    [400, 'InvalidArgument'],
    [400, 'BadRequest'],
    [501, 'NotImplemented'],
  ] as const) {
    decide = (request) => (hasChecksum(request) ? refusal(status, code) : TAKEN)
    const before = proxy.requests.length
    const fussy = store()
    assert.is(await fussy.putIfAbsent('a', BODY), true)
    const first = proxy.requests.slice(before)
    assert.equal(
      first.map((request) => [hasChecksum(request), isSigned(request)]),
      [
        [true, false],
        [true, true],
        [false, true],
      ],
    )
    assert.is(await fussy.putIfAbsent('b', BODY), true)
    assert.is(proxy.requests.length - before - first.length, 1, 'it is remembered')
    assert.not(hasChecksum(proxy.requests.at(-1)!))
    assert.ok(isSigned(proxy.requests.at(-1)!), 'the signature guards what the checksum would')
  }
})

test('without the key CRC32 is sent, and a store that takes it keeps it', async () => {
  const plain = store()
  await plain.putIfAbsent('a', BODY)
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(BODY))
  assert.equal(proxy.requests.map(checksumsOf), [{ 'x-amz-checksum-crc32': bytes.toString('base64') }])
  decide = (request) => (hasChecksum(request) ? refusal(400, 'InvalidArgument') : TAKEN)
  await rejects(plain.putIfAbsent('b', BODY), TerminalError, 'S3Refused')
})

test('an empty checksumAlgorithm sends no header of one, from the first request on', async () => {
  decide = (request) => (hasChecksum(request) ? refusal(400, 'InvalidArgument') : TAKEN)
  await store({ checksumAlgorithm: 'none' }).putIfAbsent('a', BODY)
  assert.is(proxy.requests.length, 1)
  assert.ok(isSigned(proxy.requests[0]!), 'on a plain connection the payload is signed')
})

test('the algorithm of the location is sent, with its value, and never given up', async () => {
  const hash = (name: string) => createHash(name).update(BODY).digest('base64')
  const values: [NonNullable<S3Settings['checksumAlgorithm']>, string | RegExp][] = [
    ['SHA1', hash('sha1')],
    ['SHA256', hash('sha256')],
    ['CRC32C', /^[\w+/]{6}==$/],
    ['CRC64NVME', /^[\w+/]{11}=$/],
  ]
  for (const [checksumAlgorithm, value] of values) {
    decide = () => TAKEN
    const fixed = store({ checksumAlgorithm })
    await fixed.putIfAbsent('a', BODY)
    const told = String(checksumsOf(proxy.requests.at(-1)!)[`x-amz-checksum-${checksumAlgorithm.toLowerCase()}`])
    if (typeof value === 'string') assert.is(told, value)
    else assert.match(told, value)
    decide = (request) => (hasChecksum(request) ? refusal(400, 'InvalidArgument') : TAKEN)
    await rejects(store({ checksumAlgorithm }).putIfAbsent('b', BODY), TerminalError, 'S3Refused')
  }
})

test('a refusal with another cause is reported, after no more attempts than there are forms of the request', async () => {
  decide = () => refusal(403, 'AccessDenied')
  await rejects(store().putIfAbsent('a', BODY), TerminalError, 'S3AccessDenied')
  assert.is(proxy.requests.length, 2, 'a policy that wants checksums is not gone round')
  decide = () => refusal(400, 'InvalidBucketState')
  await rejects(store().putIfAbsent('a', BODY), TerminalError, 'S3Refused')
  assert.is(proxy.requests.length, 5)
})

test.run()
