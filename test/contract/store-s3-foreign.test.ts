// The S3 store when something else answers in its place: a login page, an empty body, half an answer, or the list of another
// bucket or prefix. None of it may count as "nothing there", "stored" or "deleted".

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import { createRepositories } from '#shared/repository/repositories.ts'
import { createS3Store, type S3Store } from '#shared/repository/stores/s3/store.ts'
import { access } from '#test/support/engine-world.ts'
import { bucketSettings } from '#test/support/stores.ts'
import { rejects } from './cluster-rejects.ts'
import { type Mischief, type ProxyServer, startProxy } from './store-s3-support.ts'

const test = suite('S3 store: answers of something else')
let proxy: ProxyServer
let decide: (request: ProxyServer['requests'][number]) => Mischief

test.before.each(async () => {
  decide = () => LOGIN_PAGE
  proxy = await startProxy(undefined, (request) => decide(request))
})
test.after.each(async () => {
  await proxy.stop()
})

const ROOT = 'p/plugins/dormouse/'
const settings = () => ({
  ...bucketSettings,
  bucket: 'mine',
  prefix: 'p',
  url: proxy.url,
  credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
})
const store = (conditionalPut = true): S3Store =>
  createS3Store(settings(), { retry: { attempts: 2, firstDelayMs: 1, maxDelayMs: 1 }, conditionalPut })
const LOGIN_PAGE: Mischief = {
  status: 200,
  headers: { 'content-type': 'text/html; charset=utf-8', etag: '"nginx"' },
  body: `<!DOCTYPE html>\n<html><head><title>Sign\u0007 in</title></head><body>${'please '.repeat(100)}</body></html>`,
}
const EMPTY: Mischief = { status: 200, headers: { 'content-length': '0' } }
const JSON_PAGE: Mischief = { status: 200, headers: { 'content-type': 'application/json' }, body: '{"login":true}' }
const PLAIN_XML: Mischief = {
  status: 200,
  headers: { 'content-type': 'application/xml' },
  body: '<?xml version="1.0"?><ok/>',
}

const NO_SUCH_KEY: Mischief = {
  status: 404,
  headers: { 'content-type': 'application/xml' },
  body: '<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>gone</Message></Error>',
}

type Entry = { key: string; size?: string; modified?: string }
const listing = (change: Partial<Record<string, string>>, entries: Entry[] = []): Mischief => {
  const fields = {
    Name: 'mine',
    Prefix: `${ROOT}roots/`,
    KeyCount: String(entries.length),
    MaxKeys: '1000',
    IsTruncated: 'false',
    ...change,
  }
  const head = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `<${name}>${value}</${name}>`)
  const body = entries.map(
    ({ key, size = '1', modified = '2026-01-01T00:00:00.000Z' }) =>
      `<Contents><Key>${key}</Key><LastModified>${modified}</LastModified><Size>${size}</Size></Contents>`,
  )
  return {
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body: `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${head.join('')}${body.join('')}</ListBucketResult>`,
  }
}
const listed = async (prefix = 'roots/') => (await Array.fromAsync(store().list(prefix))).map(({ key }) => key)

test('a web page, an empty body or foreign XML counts as no answer to any call, and the error says so', async () => {
  for (const mischief of [LOGIN_PAGE, EMPTY, JSON_PAGE, PLAIN_XML]) {
    decide = () => mischief
    const calls: [string, () => Promise<unknown>][] = [
      ['list', () => listed()],
      ['get', () => store().get('config')],
      ['getRange', () => store().getRange('config', 0, 10)],
      ['put', () => store().putIfAbsent('roots/s', Buffer.from('x'))],
      ['put without condition', () => store(false).putIfAbsent('roots/s', Buffer.from('x'))],
      ['delete', () => store().delete('roots/s')],
      ['unfinished', () => Array.fromAsync(store().incompleteUploads!.list())],
    ]
    for (const [name, call] of calls) {
      const error = await rejects(call(), RetryableError, 'S3AnswerUnreadable').catch((cause: unknown) => {
        throw new Error(`${name} ${JSON.stringify(mischief)}`, { cause })
      })
      assert.match(error.message, proxy.url)
      assert.ok(error.message.length < 600, error.message)
    }
  }
})

test('the message shows the kind and the beginning of what came, on one line', async () => {
  const error = await rejects(listed(), RetryableError, 'S3AnswerUnreadable')
  assert.match(error.message, 'text/html')
  assert.match(error.message, '<!DOCTYPE html> <html><head><title>Sign in</title>')
  assert.not.match(error.message, /\p{Cc}/u)
})

test('a list of another bucket or prefix, or one with fewer keys than it counts, is refused', async () => {
  const wrong: [string, Mischief][] = [
    ['another bucket', listing({ Name: 'theirs' })],
    ['no bucket', listing({ Name: undefined })],
    ['another prefix', listing({ Prefix: `${ROOT}packs/` })],
    ['no prefix', listing({ Prefix: undefined })],
    ['does not say whether that is all', listing({ IsTruncated: undefined })],
    ['another count', listing({ KeyCount: '2' }, [{ key: `${ROOT}roots/a` }])],
    ['a key outside', listing({}, [{ key: 'p/backups/x' }])],
    ['a key without a name', listing({}, [{ key: '' }])],
    ['no size', listing({}, [{ key: `${ROOT}roots/a`, size: 'many' }])],
    ['no time', listing({}, [{ key: `${ROOT}roots/a`, modified: '' }])],
    ['more, but not where', listing({ IsTruncated: 'true' }, [{ key: `${ROOT}roots/a` }])],
    [
      'more, at an empty place',
      listing({ IsTruncated: 'true', NextContinuationToken: '' }, [{ key: `${ROOT}roots/a` }]),
    ],
    [
      'more, in the words of another call',
      listing({ IsTruncated: 'true', NextMarker: 'a' }, [{ key: `${ROOT}roots/a` }]),
    ],
    ...['', '1', 'yes', 'tru', ' true '].map((word): [string, Mischief] => [
      `whether that is all in a word that is none: ${word}`,
      listing({ IsTruncated: word }, [{ key: `${ROOT}roots/a` }]),
    ]),
  ]
  for (const [what, answer] of wrong) {
    decide = () => answer
    await rejects(listed(), RetryableError, 'S3AnswerUnreadable').catch((cause: unknown) => {
      throw new Error(what, { cause })
    })
  }
  const whole = listing({}, [{ key: `${ROOT}roots/a` }, { key: `${ROOT}roots/b` }]) as { body: string }
  for (const cutBytes of [1, 20, 60, whole.body.length - 60]) {
    decide = () => ({ ...(whole as object), body: whole.body.slice(0, -cutBytes) }) as Mischief
    await rejects(listed(), RetryableError, 'S3AnswerUnreadable')
  }
  decide = () => whole as unknown as Mischief
  assert.equal(await listed(), ['roots/a', 'roots/b'])
})

test('a list that says that it is complete, and also where it continues, is read on', async () => {
  const pages = [['a'], ['b'], []].map((names, index) => {
    return listing(
      { NextContinuationToken: `t${index}` },
      names.map((name) => ({ key: `${ROOT}roots/${name}` })),
    )
  })
  decide = () => pages[proxy.requests.length - 1]!
  assert.equal(await listed(), ['roots/a', 'roots/b'])
  assert.equal(
    proxy.requests.map(({ path }) => new URL(path, proxy.url).searchParams.get('continuation-token')),
    [null, 't0', 't1'],
  )
  decide = () => listing({ NextContinuationToken: 'always' }, [{ key: `${ROOT}roots/a` }])
  await rejects(listed(), TerminalError, 'S3Unsupported')
})

test('a truncated list is read on, also when it says True or TRUE', async () => {
  for (const word of ['True', 'TRUE']) {
    decide = () => {
      const isFirst = !proxy.requests.at(-1)!.path.includes('continuation-token')
      return isFirst
        ? listing({ IsTruncated: word, NextContinuationToken: 't' }, [{ key: `${ROOT}roots/a` }])
        : listing({}, [{ key: `${ROOT}roots/b` }])
    }
    assert.equal(await listed(), ['roots/a', 'roots/b'], JSON.stringify(word))
  }
})

test('a list that goes backwards or in a circle ends with a reason', async () => {
  decide = () => listing({}, [{ key: `${ROOT}roots/b` }, { key: `${ROOT}roots/a` }])
  await rejects(listed(), TerminalError, 'S3Unsupported')
  let page = 0
  decide = () => listing({ IsTruncated: 'true', NextContinuationToken: `t${page++}` }, [{ key: `${ROOT}roots/a` }])
  await rejects(listed(), TerminalError, 'S3Unsupported')
  // Pages without a single key, each of which promises another page.
  decide = () => listing({ IsTruncated: 'true', NextContinuationToken: `t${page++}` })
  await rejects(listed(), TerminalError, 'S3Unsupported')
  assert.ok(proxy.requests.length < 200, `${proxy.requests.length} requests`)
})

test('the stores whose lists look different are understood', async () => {
  const keys = [{ key: `${ROOT}roots/a` }]
  const answers = {
    'a prefix that is escaped': listing({ Prefix: encodeURIComponent(`${ROOT}roots/`), EncodingType: 'url' }, keys),
    'without KeyCount (GCS)': listing({ KeyCount: undefined }, keys),
    'a storage class and an owner': listing({ StorageClass: 'STANDARD' }, keys),
  }
  for (const [what, answer] of Object.entries(answers)) {
    decide = () => answer
    assert.equal(await listed(), ['roots/a'], what)
  }
  decide = () => listing({ Name: 'my-bucket-of-the-point' }, keys)
  const point = createS3Store({ ...settings(), bucket: 'my-point-abcdef-s3alias' }, { retry: { attempts: 1 } })
  assert.is((await Array.fromAsync(point.list('roots/'))).length, 1, 'an access point tells the bucket behind it')
})

test('names that the store escapes are the names of the objects, in their order', async () => {
  const names = ['\u0001', '\u001F', ' ', '%', '+', '00aa', 'ab/c', 'é', '\uFFFD', '😀']
  const keys = names.map((name) => ({ key: `${ROOT}roots/${encodeURIComponent(name).replaceAll('%20', '+')}` }))
  for (const prefix of [`${ROOT}roots/`, encodeURIComponent(`${ROOT}roots/`)]) {
    decide = () => listing({ Prefix: prefix, EncodingType: 'url' }, keys)
    assert.equal(
      await listed(),
      names.map((name) => `roots/${name}`),
    )
  }
  assert.match(proxy.requests[0]!.path, 'encoding-type=url')
  decide = () => listing({ EncodingType: 'url' }, [{ key: `${ROOT}roots/100%` }, { key: `${ROOT}roots/100%zz` }])
  assert.equal(await listed(), ['roots/100%', 'roots/100%zz'], 'what is not escaped is left as it is')
  decide = () => listing({}, [{ key: `${ROOT}roots/a%41+` }])
  assert.equal(await listed(), ['roots/a%41+'], 'a store that does not say so does not escape')
})

test('a name that a store cannot write stops no list, but no list continues after such a name', async () => {
  decide = () =>
    listing({}, [{ key: `${ROOT}roots/\uFFFD` }, { key: `${ROOT}roots/a` }, { key: `${ROOT}roots/a\uFFFD` }])
  assert.equal(await listed(), ['roots/\uFFFD', 'roots/a', 'roots/a\uFFFD'])
  const cut = { IsTruncated: 'true', NextContinuationToken: `${ROOT}roots/\uFFFD` }
  decide = () => listing(cut, [{ key: `${ROOT}roots/\uFFFD` }])
  await rejects(listed(), RetryableError, 'S3AnswerUnreadable')
  let page = 0
  decide = () => listing({ ...cut, NextContinuationToken: `t${page++}` }, [{ key: `${ROOT}roots/\uFFFD` }])
  await rejects(listed(), TerminalError, 'S3Unsupported')
})

test('an answer without a body may be of any type', async () => {
  const type = { 'content-type': 'text/html; charset=UTF-8' }
  decide = () => ({ status: 200, headers: { ...type, 'content-length': '0', etag: '"9a03"' } })
  assert.is(await store().putIfAbsent('roots/s', Buffer.from('x')), true)
  decide = () => ({ status: 204, headers: type })
  await store().delete('roots/s')
  decide = () => ({ status: 200, headers: { ...type, etag: '"x"' }, body: '<p>Sign in</p>' })
  await rejects(store().putIfAbsent('roots/s', Buffer.from('x')), RetryableError, 'S3AnswerUnreadable')
  await rejects(store().get('roots/s'), RetryableError, 'S3AnswerUnreadable')
})

const unfinished = (change: Partial<Record<string, string>>, keys: string[] = []): Mischief => {
  const fields = { Bucket: 'mine', IsTruncated: 'false', ...change }
  const told = Object.entries(fields).map(([name, value]) => `<${name}>${value}</${name}>`)
  const uploads = keys.map(
    (key) => `<Upload><Key>${key}</Key><UploadId>u</UploadId><Initiated>2026-01-01T00:00:00.000Z</Initiated></Upload>`,
  )
  const headers = { 'content-type': 'application/xml' }
  const body = `<?xml version="1.0"?><ListMultipartUploadsResult>${told.join('')}${uploads.join('')}</ListMultipartUploadsResult>`
  return { status: 200, headers, body }
}
const unfinishedKeys = async () => (await Array.fromAsync(store().incompleteUploads!.list())).map(({ key }) => key)

test('a list of unfinished uploads that goes backwards, in a circle or on for ever ends with a reason', async () => {
  let page = 0
  const markers: [string, () => Partial<Record<string, string>>][] = [
    ['the same', () => ({ NextKeyMarker: 'k', NextUploadIdMarker: 'u' })],
    ['a circle', () => ({ NextKeyMarker: `k${page++ % 2}`, NextUploadIdMarker: 'u' })],
    ['for ever', () => ({ NextKeyMarker: `k${String(page++).padStart(9, '0')}`, NextUploadIdMarker: 'u' })],
    ['uploads of one key', () => ({ NextKeyMarker: 'k', NextUploadIdMarker: `u${page++}` })],
  ]
  for (const [, next] of markers) {
    decide = () => unfinished({ IsTruncated: 'true', ...next() })
    await rejects(unfinishedKeys(), TerminalError, 'S3Unsupported')
  }
  assert.ok(proxy.requests.length < 300, `${proxy.requests.length} requests`)
})

test('a list of unfinished uploads that contradicts itself is refused', async () => {
  const key = `${ROOT}packs/a`
  for (const change of [{ IsTruncated: 'true' }, { IsTruncated: 'true', NextKeyMarker: '' }, { IsTruncated: '1' }]) {
    decide = () => unfinished(change, [key])
    await rejects(unfinishedKeys(), RetryableError, 'S3AnswerUnreadable')
  }
})

test("a list of another bucket's unfinished uploads is refused, and escaped names are understood", async () => {
  decide = () => unfinished({ Bucket: 'theirs' })
  await rejects(unfinishedKeys(), RetryableError, 'S3AnswerUnreadable')
  decide = () => unfinished({ EncodingType: 'url' }, [encodeURIComponent(`${ROOT}packs/a\u0001 b`), 'p%2Fbackups'])
  assert.equal(await unfinishedKeys(), ['packs/a\u0001 b'])
})

test('a part of an object is the part that was asked for', async () => {
  const part = (range: string | undefined, body: string, status = 206): Mischief => ({
    status,
    headers: { etag: '"x"', ...(range === undefined ? {} : { 'content-range': range }) },
    body,
  })
  const wrong = [
    part('bytes 5-9/100', '01234'),
    part(undefined, '01234'),
    part('bytes 0-4/100', '012'),
    part('bytes 0-9/100', '0123456789'),
  ]
  for (const answer of wrong) {
    decide = () => answer
    await rejects(store().getRange('packs/a', 0, 5), RetryableError, 'S3AnswerUnreadable')
  }
  decide = () => part('bytes 0-4/100', '01234')
  assert.is(Buffer.from((await store().getRange('packs/a', 0, 5))!).toString(), '01234')
  decide = () => part('bytes 0-2/3', '012')
  assert.is(Buffer.from((await store().getRange('packs/a', 0, 5))!).toString(), '012', 'fewer at the end')
  decide = () => part('bytes 0-2/8', '012')
  await rejects(store().getRange('packs/a', 0, 5), RetryableError, 'S3AnswerUnreadable')
  decide = () => part(undefined, '0123456789', 200)
  assert.is(Buffer.from((await store().getRange('packs/a', 2, 5))!).toString(), '23456', 'a server without ranges')
})

test('a deletion counts when the store says 204, or when the object is seen to be gone', async () => {
  const asked = () => proxy.requests.map(({ method }) => method)
  decide = () => ({ status: 204 })
  await store().delete('roots/s')
  assert.equal(asked(), ['DELETE'])
  decide = ({ method }) => (method === 'DELETE' ? EMPTY : NO_SUCH_KEY)
  await store().delete('roots/s')
  decide = ({ method }) =>
    method === 'DELETE' ? EMPTY : { status: 206, headers: { etag: '"x"', 'content-range': 'bytes 0-0/9' }, body: 'x' }
  await rejects(store().delete('roots/s'), RetryableError, 'S3AnswerUnreadable')
  decide = ({ method }) => (method === 'DELETE' ? EMPTY : { status: 404, body: '<html>not here' })
  await rejects(store().delete('roots/s'), TerminalError, 'S3Refused')
})

test("without conditional PUT, a proxy's 404 does not lead to an overwrite", async () => {
  decide = ({ method }) => {
    if (method === 'HEAD') return { status: 404 }
    return { status: 206, headers: { etag: '"x"', 'content-range': 'bytes 0-0/9' }, body: 'x' }
  }
  await rejects(store(false).putIfAbsent('roots/s', Buffer.from('tombstone')), RetryableError, 'S3AnswerUnreadable')
  assert.not(proxy.requests.some(({ method }) => method === 'PUT'))
  decide = ({ method }) => (method === 'PUT' ? { status: 200, headers: { etag: '"x"' } } : NO_SUCH_KEY)
  assert.is(await store(false).putIfAbsent('roots/s', Buffer.from('tombstone')), true)
})

test('an error of any length and any wording stays a short line', async () => {
  const long = 'words '.repeat(100_000)
  decide = () => ({
    status: 400,
    body: `<?xml version="1.0"?><Error><Code>Odd</Code><Message>a\u0085b\u202e${long}</Message></Error>`,
  })
  const error = await store()
    .get('config')
    .catch((thrown: unknown) => thrown)
  assert.instance(error, Error)
  assert.ok((error as Error).message.length < 600, `${(error as Error).message.length}`)
})

test('neither a deletion nor a search takes a web page for an answer', async () => {
  const repositories = createRepositories({ storeOf: () => store(), clock: systemClock, sourceOf: blockSourceOf })
  for (const mischief of [LOGIN_PAGE, EMPTY, JSON_PAGE, PLAIN_XML]) {
    decide = () => mischief
    for (const work of [
      () => repositories.forget(access, 'fcd', 'snap'),
      () => repositories.find(access, 'fcd', 'snap'),
      () => repositories.backupsOf(access, 'fcd'),
      () => repositories.ensure(access, undefined),
      () => repositories.inspect(access),
    ])
      await rejects(work(), RetryableError, 'S3AnswerUnreadable')
  }
})

test.run()
