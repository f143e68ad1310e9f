// What a function accepts as an event, and what it refuses: broken, foreign and hostile requests.

import { request } from 'node:http'
import { CloudEvent, HTTP } from 'cloudevents'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KindName } from '#shared/api/kinds.ts'
import type { Handle } from '#shared/runtime/context.ts'
import { BadEvent, type ObjectRef, refFromEvent } from '#shared/runtime/ref.ts'
import { toHandle } from '#shared/runtime/to-handle.ts'
import { eventHeaders, type FunctionUnderTest, type LogLine, post, startFunction } from './runtime-support.ts'

const UPLOAD: ObjectRef = { kind: 'Upload', namespace: 'velero', name: 'upload-1' }
const ATTRIBUTES = {
  specversion: '1.0',
  id: '0f5e',
  source: 'https://10.96.0.1:443',
  type: 'dev.knative.apiserver.ref.add',
  apiversion: 'datamover.cnsdp.vmware.com/v1alpha1',
  kind: 'Upload',
  name: 'upload-1',
  namespace: 'velero',
}

const test = suite('events of a function')
let served: FunctionUnderTest
let refs: ObjectRef[] = []

test.before(async () => {
  const handle: Handle = async (_context, ref) => {
    refs.push(ref)
    return 'ok'
  }
  served = await startFunction({ handle, kinds: ['Upload', 'BackupRepository'] })
})
test.before.each(() => {
  refs = []
  served.lines.length = 0
})
test.after(async () => {
  await served.stop()
})

/** 400, no run of the handler, one counted request and one line in the log. */
async function refused(headers: Record<string, string>, body = '{}', status = 400): Promise<LogLine> {
  served.lines.length = 0
  const labels = { function: 'test', outcome: 'bad event' }
  const before = served.metrics.requests.get(labels)
  const answer = await post(served.url, headers, body)
  assert.equal([answer.status, answer.text], [status, ''])
  assert.equal(refs, [])
  assert.is(served.metrics.requests.get(labels), before + 1)
  assert.is(served.lines.length, 1)
  const [line] = served.lines.splice(0) as [LogLine]
  assert.equal([line.level, line.reason], ['warn', 'BadEvent'])
  return line
}

test('binary mode: the object is taken from the headers', async () => {
  assert.is((await post(served.url, eventHeaders())).status, 202)
  assert.equal(refs, [UPLOAD])
})

test('binary mode as the CloudEvents package sends it', async () => {
  const message = HTTP.binary(new CloudEvent({ ...ATTRIBUTES, data: { kind: 'Upload' } }))
  const answer = await post(served.url, message.headers as Record<string, string>, String(message.body))
  assert.is(answer.status, 202)
  assert.equal(refs, [UPLOAD])
})

test('structured mode is read by the CloudEvents package', async () => {
  const message = HTTP.structured(new CloudEvent({ ...ATTRIBUTES, data: { kind: 'Upload' } }))
  const answer = await post(served.url, message.headers as Record<string, string>, String(message.body))
  assert.is(answer.status, 202)
  assert.equal(refs, [UPLOAD])
})

test('a cluster-scoped object has no namespace, whatever the event says', async () => {
  const repository = { 'ce-kind': 'BackupRepository', 'ce-apiversion': 'backupdriver.cnsdp.vmware.com/v1alpha1' }
  for (const namespace of ['', 'velero', undefined]) {
    await post(served.url, eventHeaders({ ...repository, 'ce-namespace': namespace }))
  }
  const ref = { kind: 'BackupRepository', namespace: undefined, name: 'upload-1' }
  assert.equal(refs, [ref, ref, ref])
})

test('what is no CloudEvent is refused', async () => {
  await refused({ 'content-type': 'application/json' })
  for (const field of ['ce-specversion', 'ce-id', 'ce-source', 'ce-type']) {
    assert.match((await refused(eventHeaders({ [field]: undefined }))).msg, field.slice(3))
    await refused(eventHeaders({ [field]: '' }))
    await refused(eventHeaders({ [field]: 'x'.repeat(1025) }))
  }
  await refused(eventHeaders({ 'ce-specversion': '0.3' }))
})

test('what cannot be an event is refused before its body has come', async () => {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const headers = { 'content-type': 'application/json', 'content-length': '200000' }
  const sending = request(served.url, { method: 'POST', headers }, (response) => resolve(response.statusCode ?? 0))
  sending.on('error', reject)
  sending.write('{') // and no more
  assert.is(await promise, 400)
  sending.on('error', () => undefined).destroy()
  assert.equal(refs, [])
})

test('foreign kinds and versions are refused', async () => {
  await refused(eventHeaders({ 'ce-kind': 'Secret' }))
  await refused(eventHeaders({ 'ce-kind': 'constructor' }))
  await refused(eventHeaders({ 'ce-kind': undefined }))
  await refused(eventHeaders({ 'ce-apiversion': 'v1' }))
  await refused(eventHeaders({ 'ce-apiversion': undefined }))
})

test('names that are no DNS names are refused', async () => {
  const names = ['', '.', '..', '../../secrets/x', 'a/b', 'a%2fb', 'A', '-a', 'a-', 'a..b', 'a b', 'a?x=1', 'a,b', 'ä']
  for (const name of [...names, 'a'.repeat(254)]) {
    await refused(eventHeaders({ 'ce-name': Buffer.from(name).toString('latin1') }))
  }
  for (const namespace of ['', '..', 'a.b', 'A', 'a/b', 'a'.repeat(64)]) {
    await refused(eventHeaders({ 'ce-namespace': namespace }))
  }
  await refused(eventHeaders({ 'ce-name': undefined }))
  await refused(eventHeaders({ 'ce-namespace': undefined }))
})

test('the longest names are taken', async () => {
  const name = 'a'.repeat(253)
  const namespace = 'b'.repeat(63)
  await post(served.url, eventHeaders({ 'ce-name': name, 'ce-namespace': namespace }))
  assert.equal(refs, [{ kind: 'Upload', namespace, name }])
})

test('extensions that shadow methods of the package or of objects do no harm', async () => {
  for (const name of ['validate', 'tostring', 'tojson', 'constructor', '__proto__', 'hasownproperty', 'valueof']) {
    assert.is((await post(served.url, eventHeaders({ [`ce-${name}`]: 'x' }))).status, 202, name)
    const body = JSON.stringify({ ...ATTRIBUTES, [name]: 'x' })
    const headers = { 'content-type': 'application/cloudevents+json' }
    const { status } = await post(served.url, headers, body)
    assert.ok(status === 202 || status === 400, `${name}: ${status}`) // 400: the package refuses names such as __proto__
  }
  refs = []
  await refused(eventHeaders({ 'ce-kind': undefined, 'ce-__proto__': '{"kind":"Upload"}' }))
})

test('structured events with other types than text are refused', async () => {
  const headers = { 'content-type': 'application/cloudevents+json; charset=utf-8' }
  for (const name of [{}, ['upload-1'], 7, true, null]) {
    await refused(headers, JSON.stringify({ ...ATTRIBUTES, name }))
    await refused(headers, JSON.stringify({ ...ATTRIBUTES, kind: name }))
  }
  for (const body of ['', '{', '[]', 'null', '"text"', '7', '{}']) await refused(headers, body)
  await refused({ 'content-type': 'application/cloudevents-batch+json' }, JSON.stringify([ATTRIBUTES]))
})

test('a body above 256 KiB is not read', async () => {
  await refused(eventHeaders(), 'x'.repeat(256 * 1024 + 1), 413)
  assert.is((await post(served.url, eventHeaders(), 'x'.repeat(256 * 1024))).status, 202)
})

test('a body that cannot be decoded is refused', async () => {
  await refused(eventHeaders({ 'content-encoding': 'gzip' }), 'not gzip')
  await refused(eventHeaders({ 'content-encoding': 'unknown' }))
  await refused(eventHeaders({ 'content-type': 'text/plain; charset=unknown' }))
})

test('what a stranger sent appears in the log as one short line', async () => {
  const { msg } = await refused(eventHeaders({ 'ce-name': 'x'.repeat(5000) }))
  assert.ok(msg.length < 200)
})

test('refFromEvent reports why it refuses', () => {
  const kinds: KindName[] = ['Upload']
  assert.equal(refFromEvent(ATTRIBUTES, kinds), UPLOAD)
  assert.throws(
    () => refFromEvent({ ...ATTRIBUTES, name: 'X' }, kinds),
    (error: unknown) => error instanceof BadEvent && error.message === 'name "X" is no object name',
  )
})

test('the same function in the form of Knative', async () => {
  const handle = toHandle({
    name: 'test',
    kinds: ['Upload'],
    handle: async (_c, ref) => `saw ${ref.name}`,
    log: served.log,
  })
  const accepted = { statusCode: 202, headers: {}, body: '' }
  assert.equal(await handle({}, new CloudEvent(ATTRIBUTES)), accepted)
  const shadowing = { headers: eventHeaders({ 'ce-validate': 'x' }), body: '{}' }
  assert.equal(await handle({}, HTTP.toEvent(shadowing) as CloudEvent), accepted)
  assert.is((await handle({}, { ...ATTRIBUTES, name: '..' })).statusCode, 400)
  assert.is((await handle({})).statusCode, 400)
  const broken = toHandle({
    name: 'test',
    kinds: ['Upload'],
    handle: () => Promise.reject(new Error('x')),
    log: served.log,
  })
  assert.equal(await broken({}, ATTRIBUTES), { statusCode: 503, headers: { 'retry-after': '5' }, body: '' })
})

test.run()
