// What the in-memory cluster offers to tests beyond the port: events, hooks and planned faults.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { parseLabelSelector } from '#shared/adapters/memory/cluster-selector.ts'
import { ConflictError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { rejects } from '#test/contract/cluster-rejects.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const STEP = 'dormouse.dev/step'
const DUE = `${STEP} notin (running, queued, waiting, done)`

const test = suite('in-memory cluster')
let cluster: MemoryCluster
let nowMs = 0

test.before.each(() => {
  nowMs = Date.UTC(2026, 10, 21)
  let uids = 0
  cluster = new MemoryCluster({ clock: { nowMs: () => nowMs }, newUid: () => `uid-${++uids}` })
})

function anUpload(name: string, labels?: Record<string, string>): LooseObject {
  const metadata = { name, namespace: 'velero', ...(labels === undefined ? {} : { labels }) }
  return { apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1', kind: 'Upload', metadata, spec: {} }
}

async function relabelled(seen: LooseObject, step: string): Promise<LooseObject> {
  return await cluster.patch('Upload', seen, { metadata: { labels: { [STEP]: step } } })
}

test('time and UIDs come from the test', async () => {
  const created = await cluster.create('Upload', anUpload('u'))
  assert.is(created.metadata.creationTimestamp, '2026-11-21T00:00:00Z')
  assert.is(created.metadata.uid, 'uid-1')
})

test('entering the selector adds, staying updates, leaving deletes, outside is silent', async () => {
  const events: string[] = []
  cluster.onEvent({ kind: 'Upload', labelSelector: DUE }, ({ type, name }) => events.push(`${type} ${name}`))
  let upload = await cluster.create('Upload', anUpload('u')) // no label: inside
  upload = await relabelled(upload, 'upload')
  upload = await relabelled(upload, 'running')
  upload = await cluster.patch('Upload', upload, { status: { phase: 'InProgress' } })
  upload = await relabelled(upload, 'upload')
  assert.equal(events, ['add u', 'update u', 'delete u', 'add u'])
  await cluster.delete('Upload', upload)
  await cluster.create('Upload', anUpload('v', { [STEP]: 'done' }))
  assert.equal(events.slice(4), ['delete u'])
})

test('an event names its object as an ApiServerSource does', async () => {
  const events: unknown[] = []
  cluster.onEvent({ kind: 'Upload', namespace: 'velero' }, (event) => events.push(event))
  cluster.onEvent({ kind: 'Upload', namespace: 'elsewhere' }, () => events.push('wrong namespace'))
  cluster.onEvent({ kind: 'Download' }, () => events.push('wrong kind'))
  await cluster.create('Upload', anUpload('u'))
  const apiVersion = 'datamover.cnsdp.vmware.com/v1alpha1'
  assert.equal(events, [{ type: 'add', apiVersion, kind: 'Upload', namespace: 'velero', name: 'u' }])
})

test('what existed before the subscription is not announced, and nothing after its end', async () => {
  const seen = await cluster.create('Upload', anUpload('u'))
  const events: string[] = []
  const end = cluster.onEvent({ kind: 'Upload' }, ({ type }) => events.push(type))
  assert.equal(events, [])
  const newer = await relabelled(seen, 'upload')
  await relabelled(newer, 'upload') // nothing changes: no event
  end()
  await relabelled(newer, 'running')
  assert.equal(events, ['update'])
})

test('finalizers: the delete is an update, the end is a delete', async () => {
  const events: string[] = []
  cluster.onEvent({ kind: 'Upload' }, ({ type }) => events.push(type))
  const upload = anUpload('u')
  const created = await cluster.create('Upload', {
    ...upload,
    metadata: { ...upload.metadata, finalizers: ['dormouse.dev/object'] },
  })
  await cluster.delete('Upload', created)
  const deleting = (await cluster.read('Upload', 'velero', 'u')) as LooseObject
  await cluster.patch('Upload', deleting, { metadata: { finalizers: null } })
  assert.equal(events, ['add', 'update', 'delete'])
})

test('every write is shown with what was before and after, and can be refused by an invariant', async () => {
  const writes: string[] = []
  const phase = (object: LooseObject | undefined) => object?.['status']?.phase ?? (object ? 'none' : 'absent')
  cluster.onWrite((kind, before, after) => writes.push(`${kind} ${phase(before)} -> ${phase(after)}`))
  const seen = await cluster.create('Upload', anUpload('u'))
  const newer = await cluster.patch('Upload', seen, { status: { phase: 'New' } })
  await cluster.delete('Upload', newer)
  assert.equal(writes, ['Upload absent -> none', 'Upload none -> New', 'Upload New -> absent'])
  cluster.onWrite(() => {
    throw new Error('invariant broken')
  })
  const outcome = await cluster.create('Upload', anUpload('v')).catch((error: Error) => error.message)
  assert.is(outcome, 'invariant broken')
})

test('changing an object that was read or shown does not change the stored one', async () => {
  cluster.onWrite((_kind, _before, after) => {
    if (after !== undefined) after['spec'].shown = true
  })
  const labels = { a: 'b' }
  const created = await cluster.create('Upload', anUpload('u', labels))
  labels.a = 'changed'
  ;(created as LooseObject)['spec'].changed = true
  const read = (await cluster.read('Upload', 'velero', 'u')) as LooseObject
  assert.equal([read.metadata.labels, read['spec']], [{ a: 'b' }, {}])
})

test('an ordered fault hits the first call that fits, as often as was asked for', async () => {
  cluster.failNext({ verb: 'patch', kind: 'Upload', times: 2 })
  const seen = await cluster.create('Upload', anUpload('u'))
  await rejects(relabelled(seen, 'running'), RetryableError, 'KubernetesUnavailable')
  await rejects(relabelled(seen, 'running'), RetryableError, 'KubernetesUnavailable')
  await relabelled(seen, 'running')
  cluster.failNext({ verb: ['read', 'list'], name: 'u', error: new TerminalError('Forbidden', 'no') })
  assert.is(await cluster.read('Upload', 'velero', 'other'), undefined)
  assert.is((await cluster.list('Upload')).length, 1)
  await rejects(cluster.read('Upload', 'velero', 'u'), TerminalError, 'Forbidden')
  cluster.failNext()
  cluster.clearFaults()
  await cluster.list('Upload')
})

test('a fault after the write loses only the answer', async () => {
  const seen = await cluster.create('Upload', anUpload('u'))
  cluster.failNext({ when: 'after' })
  await rejects(relabelled(seen, 'running'), RetryableError, 'KubernetesUnavailable')
  assert.is(cluster.peek('Upload', 'velero', 'u')?.metadata.labels?.[STEP], 'running')
  await rejects(relabelled(seen, 'done'), ConflictError, 'Conflict')
})

test('each call can be held or thrown at by the test', async () => {
  const calls: string[] = []
  const held = new MemoryCluster({
    clock: { nowMs: () => nowMs },
    beforeCall: async (verb, kind, name) => {
      calls.push(`${verb} ${kind} ${name}`)
      if (verb === 'delete') throw new Error('killed')
    },
  })
  const seen = await held.create('Upload', anUpload('u'))
  await held.list('Upload')
  assert.is(await held.delete('Upload', seen).catch((error: Error) => error.message), 'killed')
  assert.ok(held.peek('Upload', 'velero', 'u'))
  assert.equal(calls, ['create Upload u', 'list Upload undefined', 'delete Upload u'])
})

test('a test can create an object with its status', async () => {
  const spec = { accessModes: ['ReadWriteOnce'] }
  const metadata = { name: 'data', namespace: 'app' }
  const claim = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata, spec, status: { phase: 'Bound' } }
  cluster.seed('PersistentVolumeClaim', claim)
  assert.is((await cluster.read('PersistentVolumeClaim', 'app', 'data'))?.['status']?.phase, 'Bound')
})

test('an object of another kind is refused', async () => {
  await rejects(cluster.create('Download', anUpload('u')), TerminalError, 'InvalidObject')
})

test('label selectors: every operator, with and without spaces', () => {
  const table: [selector: string, labels: Record<string, string>, taken: boolean][] = [
    ['', {}, true],
    ['a=b', { a: 'b' }, true],
    ['a==b', { a: 'c' }, false],
    ['a = b', { a: 'b' }, true],
    ['a=', { a: '' }, true],
    ['a!=b', {}, true],
    ['a!=b', { a: 'b' }, false],
    ['a in (b,c)', { a: 'c' }, true],
    ['a in (b, c)', {}, false],
    ['a notin (b,c)', {}, true],
    ['a notin (b,c)', { a: 'b' }, false],
    ['a', { a: '' }, true],
    ['!a', { a: '' }, false],
    ['x.dev/a in (b,c),d!=e,!f', { 'x.dev/a': 'b', d: 'g' }, true],
    ['x.dev/a in (b,c),d!=e,!f', { 'x.dev/a': 'b', d: 'e' }, false],
  ]
  for (const [selector, labels, taken] of table) {
    assert.is(parseLabelSelector(selector)(labels), taken, `${selector} with ${JSON.stringify(labels)}`)
  }
  for (const broken of ['a in b', 'a in (b', '=b', 'a=b=c', ',', 'a b']) {
    assert.throws(() => parseLabelSelector(broken), /cannot be read/)
  }
})

test.run()
