// The S3 store below prefixes with any letters: names in requests, signatures and lists, on a real server and with each way in which stores
// escape the names that they list.

import { CreateMultipartUploadCommand } from '@aws-sdk/client-s3'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseS3Parameters } from '#shared/repository/stores/s3/parameters.ts'
import { createS3Store } from '#shared/repository/stores/s3/store.ts'
import { bucketSettings } from '#test/support/stores.ts'
import { type Gateway, settingsFor, startGateway, startProxy } from './store-s3-support.ts'

const test = suite('S3 store: prefixes')
let gateway: Gateway

test.before(async () => {
  gateway = await startGateway(false)
})
test.after(async () => {
  await gateway.stop()
})

const PREFIXES = [
  'équipe/x',
  'e\u0301quipe/x',
  'team//x',
  'a b',
  ' a b ',
  'a+b',
  '100%/%2F',
  "it's (!*) a~test",
  'a?b#c&d=e;f,g@h:i$j',
  'a\\b"<c>|`^{}[]',
  '日本/😀',
  'a&amp;b',
]
const prefixOf = (prefix: string) => parseS3Parameters({ bucket: 'bucket', prefix }).prefix

for (const given of PREFIXES) {
  test(`below ${JSON.stringify(given)} objects are written, read, listed and deleted`, async () => {
    const prefix = prefixOf(given)
    const settings = settingsFor(gateway.s3, { prefix })
    const store = createS3Store(settings, { retry: { attempts: 1 } })
    for (const key of ['roots/a', 'roots/b']) assert.is(await store.putIfAbsent(key, Buffer.from(key)), true)
    assert.is(await store.putIfAbsent('roots/a', Buffer.from('other')), false)
    assert.is(Buffer.from((await store.getRange('roots/a', 0, 5))!).toString(), 'roots')
    const keys = async () => (await Array.fromAsync(store.list('roots/'))).map(({ key }) => key)
    assert.equal(await keys(), ['roots/a', 'roots/b'])
    const Key = `${prefix}/plugins/dormouse/packs/p`
    await gateway.s3.client.send(new CreateMultipartUploadCommand({ Bucket: settings.bucket, Key }))
    const [unfinished] = await Array.fromAsync(store.incompleteUploads!.list())
    assert.is(unfinished?.key, 'packs/p')
    await store.incompleteUploads!.abort(unfinished!)
    await store.delete('roots/a')
    assert.equal(await keys(), ['roots/b'])
    const objects = await gateway.s3.objects(`${prefix}/plugins/`)
    assert.equal(
      objects.map(({ key }) => key),
      [`${prefix}/plugins/dormouse/roots/b`],
    )
    store.close()
  })
}

/** Escapes as AWS, as an HTML form, and not at all although the answer says so. */
const ESCAPES: Record<string, (text: string) => string> = {
  percent: (text) => encodeURIComponent(text).replaceAll('%2F', '/'),
  'percent and plus': (text) => encodeURIComponent(text).replaceAll('%20', '+'),
  none: (text) => text,
}

for (const [how, told] of Object.entries(ESCAPES)) {
  test(`a store whose names are escaped by ${how} is understood below every prefix`, async () => {
    for (const prefix of PREFIXES.map(prefixOf).filter((one) => !/[<>&]/.test(told(one)))) {
      const root = `${prefix}/plugins/dormouse/roots/`
      const entry = `<Contents><Key>${told(`${root}a`)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>1</Size></Contents>`
      const head = `<Name>bucket</Name><Prefix>${told(root)}</Prefix><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>`
      const body = `<?xml version="1.0"?><ListBucketResult>${head}${entry}</ListBucketResult>`
      const proxy = await startProxy(undefined, () => ({
        status: 200,
        headers: { 'content-type': 'application/xml' },
        body,
      }))
      const credentials = { accessKeyId: 'id', secretAccessKey: 'secret' }
      const settings = { ...bucketSettings, bucket: 'bucket', prefix, url: proxy.url, credentials }
      const store = createS3Store(settings, { retry: { attempts: 1 } })
      const keys = (await Array.fromAsync(store.list('roots/'))).map(({ key }) => key)
      assert.equal(keys, ['roots/a'], prefix)
      assert.is(new URL(proxy.requests[0]!.path, proxy.url).searchParams.get('prefix'), root)
      await proxy.stop()
    }
  })
}

test.run()
