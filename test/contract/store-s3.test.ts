// What the S3 store does beyond the port's contract, against a real server.

import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectTaggingCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { TerminalError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import type { ObjectStore, StoredObject } from '#shared/ports/object-store.ts'
import { chooseCredentials } from '#shared/repository/stores/s3/aws-credentials.ts'
import type { S3Settings } from '#shared/repository/stores/s3/settings.ts'
import { createS3Store, type S3StoreOptions } from '#shared/repository/stores/s3/store.ts'
import { rejects } from './cluster-rejects.ts'
import { type Gateway, settingsFor, startGateway } from './store-s3-support.ts'

const test = suite('S3 store')
let gateway: Gateway
const store = (change: Partial<S3Settings> = {}, options: S3StoreOptions = {}) =>
  createS3Store(settingsFor(gateway.s3, change), options)

test.before(async () => {
  gateway = await startGateway(false)
})
test.after(async () => {
  await gateway.stop()
})

async function listed(from: ObjectStore, prefix: string): Promise<StoredObject[]> {
  const found: StoredObject[] = []
  for await (const object of from.list(prefix)) found.push(object)
  return found
}
const keysOf = async (from: ObjectStore, prefix: string) => (await listed(from, prefix)).map(({ key }) => key)

test('an empty range still shows whether the object exists', async () => {
  const ranged = store()
  const body = randomBytes(1000)
  await ranged.putIfAbsent('pack', body)
  assert.is((await ranged.getRange('pack', 5, 0))!.length, 0)
  assert.is((await ranged.getRange('pack', body.length, 10))!.length, 0)
  assert.is(await ranged.getRange('other', 0, 0), undefined)
})

test('bodies of sixteen MiB, of shared memory and of nothing come back as they were', async () => {
  const bodies = store()
  const shared = new Uint8Array(new SharedArrayBuffer(MiB + 1)).fill(7)
  for (const [index, body] of [randomBytes(16 * MiB), shared, new Uint8Array(0)].entries()) {
    assert.ok(await bodies.putIfAbsent(`b${index}`, body))
    assert.is(Buffer.compare((await bodies.get(`b${index}`))!, body), 0)
  }
})

test('a refusal that comes before the whole body was sent is read', async () => {
  const settings = settingsFor(gateway.s3)
  const hasty = createS3Store(settings, { retry: { attempts: 1 } })
  const credentials = { accessKeyId: gateway.s3.accessKeyId, secretAccessKey: 'wrong' }
  const refused = createS3Store({ ...settings, credentials }, { retry: { attempts: 1 } })
  const body = randomBytes(16 * MiB)
  assert.is(await hasty.putIfAbsent('pack', body), true)
  for (let time = 0; time < 10; time++) {
    assert.is(await hasty.putIfAbsent('pack', body), false)
    await rejects(refused.putIfAbsent('pack', body), TerminalError, 'S3AccessDenied')
  }
})

test('a buffer that was given back serves another answer, and one that was not is left alone', async () => {
  const recycling = store()
  const [first, second] = [randomBytes(MiB), randomBytes(MiB)]
  await recycling.putIfAbsent('1', first)
  await recycling.putIfAbsent('2', second)
  const kept = (await recycling.get('1'))!
  const back = (await recycling.get('1'))!
  recycling.release(back)
  recycling.release(back)
  const reused = (await recycling.get('2'))!
  const fresh = (await recycling.get('2'))!
  assert.is(reused.buffer, back.buffer)
  assert.is.not(fresh.buffer, back.buffer)
  assert.is(Buffer.compare(kept, first), 0)
  assert.is(Buffer.compare(reused, second), 0)
})

test('everything lies below <prefix>/plugins/dormouse/, and two prefixes do not see each other', async () => {
  const prefix = 'velero/cluster a+b'
  const inner = store({ prefix })
  await inner.putIfAbsent('config', Buffer.from('x'))
  assert.is(inner.location, `s3://dormouse/${prefix}/plugins/dormouse`)
  assert.equal(await keysOf(inner, ''), ['config'])
  assert.ok((await gateway.s3.objects(prefix)).some(({ key }) => key === `${prefix}/plugins/dormouse/config`))
  assert.equal(await keysOf(store({ prefix: 'velero' }), ''), [])
  const bare = store({ prefix: '' })
  await bare.putIfAbsent('config', Buffer.from('y'))
  assert.equal(
    (await gateway.s3.objects('plugins/dormouse/')).map(({ key }) => key),
    ['plugins/dormouse/config'],
  )
})

test("the credentials of the location's profile are used, and wrong ones are named by their origin only", async () => {
  const { accessKeyId, secretAccessKey } = gateway.s3
  const file = `[default]\naws_access_key_id=nobody\naws_secret_access_key=wrong-secret\n\n[profile backups]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`
  const right = store({ credentials: chooseCredentials(file, 'backups', 'Secret cloud-credentials') })
  assert.ok(await right.putIfAbsent('config', Buffer.from('x')))
  const credentialOrigin = 'Secret cloud-credentials, profile [default]'
  for (const credentials of [
    chooseCredentials(file, 'default', 'Secret cloud-credentials'),
    { accessKeyId, secretAccessKey: 'wrong-secret' },
  ]) {
    const wrong = store({ credentials, credentialOrigin })
    const error = await rejects(wrong.get('config'), TerminalError, 'S3AccessDenied')
    assert.match(error.message, credentialOrigin)
    assert.not.match(inspect(error, { depth: 9, showHidden: true }), new RegExp(`nobody|wrong-secret|${accessKeyId}`))
    // The store refuses before the whole body was sent.
    await rejects(wrong.putIfAbsent('config', randomBytes(16 * MiB)), TerminalError, 'S3AccessDenied')
  }
})

test('a missing bucket is told apart from a missing object, by every call', async () => {
  const lost = store({ bucket: 'no-such-bucket' })
  const calls = [
    () => lost.get('config'),
    () => lost.getRange('config', 0, 1),
    () => lost.putIfAbsent('config', Buffer.from('x')),
    () => lost.delete('config'),
    () => listed(lost, ''),
  ]
  for (const call of calls) {
    const error = await rejects(call(), TerminalError, 'BucketMissing')
    assert.match(error.message, 'bucket no-such-bucket does not exist')
  }
})

test('tags of the location stand on every object', async () => {
  const settings = settingsFor(gateway.s3, { tagging: 'team=storage&cost%20center=42' })
  await createS3Store(settings).putIfAbsent('config', Buffer.from('x'))
  const Key = `${settings.prefix}/plugins/dormouse/config`
  const { TagSet } = await gateway.s3.client.send(new GetObjectTaggingCommand({ Bucket: settings.bucket, Key }))
  assert.equal(TagSet?.map(({ Key: key, Value }) => `${key}=${Value}`).sort(), ['cost center=42', 'team=storage'])
})

test('unfinished uploads of other programs are found below the own prefix only, and can be ended twice', async () => {
  const settings = settingsFor(gateway.s3)
  const { client } = gateway.s3
  const begin = async (Key: string) => {
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket: settings.bucket, Key }))
    return UploadId!
  }
  const id = await begin(`${settings.prefix}/plugins/dormouse/packs/x`)
  const foreign = await begin(`${settings.prefix}-other/plugins/dormouse/packs/x`)
  const { incompleteUploads } = createS3Store(settings)
  const found = await Array.fromAsync(incompleteUploads!.list())
  assert.equal(
    found.map((upload) => [upload.key, upload.id]),
    [['packs/x', id]],
  )
  assert.ok(Math.abs(found[0]!.startedMs - Date.now()) < 60_000)
  await incompleteUploads!.abort(found[0]!)
  await incompleteUploads!.abort(found[0]!)
  assert.equal(await Array.fromAsync(incompleteUploads!.list()), [])
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: settings.bucket }))
  assert.equal(
    Uploads.map(({ UploadId }) => UploadId),
    [foreign],
  )
})

test('two buckets keep two repositories apart', async () => {
  await gateway.s3.client.send(new CreateBucketCommand({ Bucket: 'second' }))
  const [one, two] = [store({ prefix: 'p' }), store({ prefix: 'p', bucket: 'second' })]
  assert.ok(await one.putIfAbsent('config', Buffer.from('1')))
  assert.ok(await two.putIfAbsent('config', Buffer.from('2')))
  assert.is(Buffer.from((await two.get('config'))!).toString(), '2')
})

test('without conditional PUT a key is still written once', async () => {
  const emulated = store({}, { conditionalPut: false })
  assert.ok(await emulated.putIfAbsent('config', Buffer.from('first')))
  assert.not(await emulated.putIfAbsent('config', Buffer.from('second')))
  assert.is(Buffer.from((await emulated.get('config'))!).toString(), 'first')
  const settings = settingsFor(gateway.s3)
  // Written by a program that leaves no mark, with the same bytes.
  const Key = `${settings.prefix}/plugins/dormouse/config`
  await gateway.s3.client.send(new PutObjectCommand({ Bucket: settings.bucket, Key, Body: 'same' }))
  assert.not(await createS3Store(settings, { conditionalPut: false }).putIfAbsent('config', Buffer.from('same')))
})

test('an object larger than allowed is refused before memory is taken for it', async () => {
  const settings = settingsFor(gateway.s3)
  await createS3Store(settings).putIfAbsent('big', randomBytes(2 * MiB))
  const small = createS3Store(settings, { maxObjectBytes: MiB })
  const error = await rejects(small.get('big'), TerminalError, 'S3Unsupported')
  assert.match(error.message, 'larger than')
  assert.is((await small.getRange('big', 0, 1000))!.length, 1000)
})

test.run()
