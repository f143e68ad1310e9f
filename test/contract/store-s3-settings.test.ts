// The S3 store with settings that its client refuses: each gives a reason that an operator can act on, and none ends the process.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DormouseError, TerminalError } from '#shared/kernel/errors.ts'
import type { S3Settings } from '#shared/repository/stores/s3/settings.ts'
import { createS3Store, type S3Store } from '#shared/repository/stores/s3/store.ts'
import { bucketSettings } from '#test/support/stores.ts'
import { rejects } from './cluster-rejects.ts'

const test = suite('S3 store: settings that its client does not take')

/** A port without a listener. */
const NOWHERE = 'http://127.0.0.1:1'
const store = (change: Partial<S3Settings>): S3Store =>
  createS3Store(
    {
      ...bucketSettings,
      url: NOWHERE,
      forcePathStyle: false,
      credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
      ...change,
    },
    { retry: { attempts: 1 }, connectTimeoutMs: 1000 },
  )

const ARN = 'arn:aws:s3:us-east-1:123456789012:accesspoint/mine'
const odd: [string, Partial<S3Settings>][] = [
  ...['us_east', ' us', 'a b', '', '/', '-a', 'a-', 'é', 'eu.west', 'x'.repeat(64)].map(
    (region): [string, Partial<S3Settings>] => [`region ${JSON.stringify(region.slice(0, 9))}`, { region }],
  ),
  ['a region of FIPS beside an address', { region: 'fips-us-east-1' }],
  ['a folder in the bucket', { bucket: 'a/b' }],
  ['a directory bucket without a zone', { bucket: 'x--x-s3', url: undefined }],
  ['an access point by path', { bucket: ARN, forcePathStyle: true }],
  ['an access point before an IP address', { bucket: ARN }],
  ['a multi-region access point', { bucket: 'arn:aws:s3::123456789012:accesspoint/x.mrap' }],
  ['an access point of a region that is none', { bucket: ARN.replace('us-east-1', 'us_e') }],
]

for (const [what, change] of odd) {
  test(`${what} is refused by a reason that names the keys`, async () => {
    const error = await rejects(store(change).get('config'), TerminalError, 'RepositoryParametersInvalid')
    assert.match(error.message, 'region')
    assert.match(error.message, 'bucket')
    assert.match(error.message, 's3Url')
    assert.ok(error.message.length < 700, error.message)
  })
}

test('no bucket, region and address ends as a bug of ours', async () => {
  const buckets = ['My_Bucket', 'a..b', '-a', 'a-', 'a.b', 'x--op-s3', 'x-s3alias', 'xn--a', '192.168.1.1', 'é', 'a?b']
  const urls = ['nonsense', '', 'http://a b', 'http://127.0.0.1:99999', 'http://[::1]:1', `${NOWHERE}/a b`]
  const changes = [
    ...buckets.flatMap((bucket) => [false, true].map((forcePathStyle) => ({ bucket, forcePathStyle }))),
    ...urls.map((url) => ({ url })),
  ]
  for (const change of changes) {
    const thrown: unknown = await store(change)
      .get('config')
      .catch((error: unknown) => error)
    assert.instance(thrown, DormouseError, `${JSON.stringify(change)}: ${String(thrown)}`)
  }
})

test('a store whose client could not be made is closed without an error', async () => {
  const lost: unknown[] = []
  const onLost = (reason: unknown) => lost.push(reason)
  process.on('unhandledRejection', onLost)
  const unmade = store({ region: '' })
  const called = unmade.get('config').catch(() => {})
  unmade.close()
  await called
  unmade.close()
  await new Promise((resolve) => setTimeout(resolve, 20))
  process.off('unhandledRejection', onLost)
  assert.equal(lost, [])
})

test.run()
