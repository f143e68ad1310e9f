import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type ReceivedResponse,
  ResponseError,
  ResponseReader,
  SCRATCH_BYTES,
} from '#shared/repository/stores/s3/response-reader.ts'

const test = suite('HTTP response reader')

/** Feeds the bytes in pieces of these sizes (the last size repeats); the connection is closed after them. */
function read(bytes: Buffer, pieces: number[] = [1 << 20], method = 'GET', limitBytes = 1 << 20): ReceivedResponse {
  const reader = new ResponseReader(method, limitBytes, Buffer.alloc(SCRATCH_BYTES), Buffer.alloc)
  let at = 0
  for (let index = 0; at < bytes.length; index++) {
    const target = reader.target()
    assert.ok(target.length > 0)
    const wanted = pieces[Math.min(index, pieces.length - 1)] ?? 1
    const count = bytes.copy(target, 0, at, Math.min(at + wanted, at + target.length))
    at += count
    const response = reader.received(count)
    if (response === undefined) continue
    assert.is(at, bytes.length, 'the reader ended before the bytes did')
    return response
  }
  return reader.ended()
}

const text = (response: ReceivedResponse) => Buffer.from(response.body).toString('latin1')
const head = (lines: string[]) => `${lines.join('\r\n')}\r\n\r\n`
const wire = (lines: string[], body = '') => Buffer.from(head(lines) + body, 'latin1')

test('a sized, a chunked and an unsized body read the same, however the bytes arrive', () => {
  const body = fc.string({ unit: 'binary-ascii', maxLength: 3000 })
  const pieces = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(body, pieces, fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1 }), (given, sizes, cuts) => {
      const sized = read(wire(['HTTP/1.1 200 OK', `Content-Length: ${given.length}`], given), sizes)
      assert.is(text(sized), given)
      assert.ok(sized.reusable)
      const chunked = read(wire(['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'], chunks(given, cuts)), sizes)
      assert.is(text(chunked), given)
      assert.ok(chunked.reusable)
      const unsized = read(wire(['HTTP/1.1 200 OK'], given), sizes)
      assert.is(text(unsized), given)
      assert.not(unsized.reusable)
    }),
  )
})

function chunks(body: string, cuts: number[]): string {
  let wired = ''
  for (let at = 0, index = 0; at < body.length; index++) {
    const part = body.slice(at, at + (cuts[index % cuts.length] ?? 1))
    wired += `${part.length.toString(16)};ext=1\r\n${part}\r\n`
    at += part.length
  }
  return `${wired}0\r\nx-trailer: 1\r\n\r\n`
}

test('status, reason and headers are read, repeated headers are joined', () => {
  const response = read(wire(['HTTP/1.1 404 Not Found', 'ETag:  "a" ', 'x-a: 1', 'X-A: 2', 'content-length: 2'], 'hi'))
  assert.is(response.statusCode, 404)
  assert.is(response.reason, 'Not Found')
  assert.equal({ ...response.headers }, { etag: '"a"', 'x-a': '1, 2', 'content-length': '2' })
})

test('answers without a body end with their head', () => {
  for (const [method, status] of [
    ['HEAD', '200 OK'],
    ['DELETE', '204 No Content'],
    ['GET', '304 Not Modified'],
  ] as const) {
    const response = read(wire([`HTTP/1.1 ${status}`, 'content-length: 77']), [7], method)
    assert.is(response.body.length, 0)
    assert.ok(response.reusable)
  }
})

test('1xx answers before the real one are passed over', () => {
  const bytes = Buffer.concat([wire(['HTTP/1.1 100 Continue']), wire(['HTTP/1.1 200 OK', 'content-length: 1'], 'x')])
  assert.is(text(read(bytes, [3])), 'x')
})

test('a connection is not used again when either side says so', () => {
  assert.not(read(wire(['HTTP/1.1 200 OK', 'connection: Close', 'content-length: 0'])).reusable)
  assert.not(read(wire(['HTTP/1.0 200 OK', 'content-length: 0'])).reusable)
})

test('what HTTP does not allow is refused', () => {
  const bad: [string, Buffer][] = [
    ['no HTTP', Buffer.from('SSH-2.0-OpenSSH\r\n\r\n')],
    ['HTTP/2', wire(['HTTP/2 200 OK'])],
    ['a folded header', wire(['HTTP/1.1 200 OK', 'a: b', ' c'])],
    ['a space before the colon', wire(['HTTP/1.1 200 OK', 'content-length : 3'])],
    ['two lengths', wire(['HTTP/1.1 200 OK', 'content-length: 1', 'content-length: 2'], 'x')],
    ['a negative length', wire(['HTTP/1.1 200 OK', 'content-length: -1'])],
    ['more than the length', wire(['HTTP/1.1 200 OK', 'content-length: 1'], 'xy')],
    ['an unknown encoding', wire(['HTTP/1.1 200 OK', 'transfer-encoding: gzip'])],
    ['a chunk without size', wire(['HTTP/1.1 200 OK', 'transfer-encoding: chunked'], 'x\r\n')],
    ['a chunk that is too long', wire(['HTTP/1.1 200 OK', 'transfer-encoding: chunked'], '1\r\nxyz\r\n0\r\n\r\n')],
    ['bytes after the last chunk', wire(['HTTP/1.1 200 OK', 'transfer-encoding: chunked'], '0\r\n\r\nHTTP')],
    ['an endless head', wire(['HTTP/1.1 200 OK', `x: ${'y'.repeat(SCRATCH_BYTES)}`])],
    ['an endless line', wire(['HTTP/1.1 200 OK', 'transfer-encoding: chunked'], 'a'.repeat(20_000))],
  ]
  for (const [why, bytes] of bad) {
    assert.throws(
      () => read(bytes),
      (error: unknown) => error instanceof ResponseError,
      why,
    )
  }
})

test('no more memory is taken than allowed', () => {
  const tooLarge = (error: unknown) => error instanceof ResponseError && error.message.includes('larger than 10 bytes')
  const body = 'x'.repeat(11)
  assert.throws(() => read(wire(['HTTP/1.1 200 OK', 'content-length: 11'], body), [1], 'GET', 10), tooLarge)
  assert.throws(() => read(wire(['HTTP/1.1 200 OK'], body), [1], 'GET', 10), tooLarge)
  const chunked = wire(['HTTP/1.1 200 OK', 'transfer-encoding: chunked'], chunks(body, [1]))
  assert.throws(() => read(chunked, [1], 'GET', 10), tooLarge)
})

test('a connection that ends early is an error, whatever was missing', () => {
  const cut = (error: unknown) => (error as { code?: string }).code === 'ECONNRESET'
  for (const bytes of [
    Buffer.from('HTTP/1.1 2'),
    wire(['HTTP/1.1 200 OK', 'content-length: 3'], 'xy'),
    wire(['HTTP/1.1 200 OK', 'transfer-encoding: chunked'], '3\r\nxyz\r\n'),
  ]) {
    assert.throws(() => read(bytes), cut)
  }
  assert.throws(() => read(Buffer.alloc(0)), cut)
})

test.run()
