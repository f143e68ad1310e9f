// The contract of the port Cluster, for every adapter: the in-memory one and the real API server.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { ConflictError, TerminalError } from '#shared/kernel/errors.ts'
import type { Cluster, Cursor } from '#shared/ports/cluster.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { rejects } from './cluster-rejects.ts'

/** `namespaces`: two namespaces that exist and are empty. */
type ClusterUnderTest = { cluster: Cluster; namespaces: [string, string]; stop: () => Promise<void> }

let counter = 0

/** An object with a name that no other test uses. */
export function anObject(
  kind: KindName,
  namespace: string | undefined,
  fields: Partial<LooseObject> = {},
): LooseObject {
  counter += 1
  const { metadata, ...rest } = fields
  const name = `${kind.toLowerCase()}-${counter}`
  const place = KINDS[kind].namespaced && namespace !== undefined ? { namespace } : {}
  return { apiVersion: KINDS[kind].apiVersion, kind, ...rest, metadata: { name, ...place, ...metadata } }
}

export const CLONE_SPEC = {
  snapshotID: 'pvc:a/b:c',
  apiGroup: '',
  kind: 'PersistentVolumeClaim',
  backupRepository: '',
  cloneCancel: false,
}
const SNAPSHOT_SPEC = { resourceHandle: { kind: 'PersistentVolumeClaim', name: 'data' }, backupRepository: 'repo' }

export function aSnapshot(namespace: string, fields: Partial<LooseObject> = {}): LooseObject {
  return anObject('Snapshot', namespace, { spec: SNAPSHOT_SPEC, ...fields })
}

export function anUpload(namespace: string, fields: Partial<LooseObject> = {}): LooseObject {
  return anObject('Upload', namespace, { spec: { snapshotID: 'ivd:a:b' }, ...fields })
}

export function aRepository(): LooseObject {
  return anObject('BackupRepository', undefined, {
    allowedNamespaces: [],
    repositoryDriver: 's3repository.astrolabe.vmware-tanzu.com',
    repopsitoryParameters: { bucket: 'b', region: 'r' }, // the Velero Plugin for vSphere's spelling
    backupRepositoryClaim: 'claim',
  })
}

export function clusterSuite(title: string, start: () => Promise<ClusterUnderTest>): void {
  const test = suite(title)
  let under: ClusterUnderTest
  let cluster: Cluster
  let namespace: string

  test.before(async () => {
    under = await start()
    cluster = under.cluster
    namespace = under.namespaces[0]
  })
  test.after(async () => {
    await under.stop()
  })

  test('a created object is read back with what the server adds', async () => {
    const created = await cluster.create('Upload', anUpload(namespace, { metadata: { name: 'x', labels: { a: 'b' } } }))
    assert.match(created.metadata.uid ?? '', /^[0-9a-f-]{36}$/)
    assert.match(created.metadata.resourceVersion ?? '', /^\d+$/)
    assert.match(created.metadata.creationTimestamp ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    assert.is(created.metadata.generation, 1)
    assert.equal(created.metadata.labels, { a: 'b' })
    assert.equal(await cluster.read('Upload', namespace, 'x'), created)
  })

  test("an object that is created now has a creation time of now by the server's clock", async () => {
    const made = anUpload(namespace, { metadata: { name: 'now' } })
    const { metadata } = await cluster.create('Upload', made)
    const apartMs = Math.abs(cluster.nowMs() - Date.parse(metadata.creationTimestamp ?? ''))
    assert.ok(apartMs < 5000, `${apartMs} ms apart`)
  })

  test('what is not there reads as undefined', async () => {
    assert.is(await cluster.read('Upload', namespace, 'nothing'), undefined)
    assert.is(await cluster.read('Upload', 'no-such-namespace', 'nothing'), undefined)
    assert.is(await cluster.read('BackupRepository', undefined, 'nothing'), undefined)
  })

  test('a name that is taken is a conflict with its own reason', async () => {
    const upload = anUpload(namespace)
    await cluster.create('Upload', upload)
    await rejects(cluster.create('Upload', upload), ConflictError, 'AlreadyExists')
  })

  test('names that would leave their place in a URL are refused', async () => {
    for (const name of ['../secrets/x', 'a/b', 'A', '', 'a?b', `${'a'.repeat(254)}`]) {
      await rejects(cluster.read('Upload', namespace, name), TerminalError, 'InvalidObject')
    }
    await rejects(cluster.read('Upload', 'a/../b', 'x'), TerminalError, 'InvalidObject')
    await rejects(cluster.read('Upload', undefined, 'x'), TerminalError, 'InvalidObject')
    await rejects(cluster.list('Upload', { namespace: '..' }), TerminalError, 'InvalidObject')
    const upload = anUpload(namespace, { metadata: { name: 'Not_A_Name' } })
    await rejects(cluster.create('Upload', upload), TerminalError, 'InvalidObject')
  })

  test('a patch merges objects, removes with null, replaces lists and leaves undefined fields alone', async () => {
    const metadata = { name: 'merge', labels: { keep: '1', drop: '2' }, finalizers: ['dormouse.dev/a'] }
    const seen = await cluster.create('Upload', anUpload(namespace, { metadata }))
    const change = {
      metadata: { labels: { drop: null, add: '3', skip: undefined }, finalizers: ['dormouse.dev/b'] },
      status: { phase: 'InProgress' },
    }
    const patched = await cluster.patch('Upload', seen, change)
    assert.equal(patched.metadata.labels, { keep: '1', add: '3' })
    assert.equal(patched.metadata.finalizers, ['dormouse.dev/b'])
    assert.equal(patched['status'], { phase: 'InProgress' })
    assert.equal(patched['spec'], seen['spec'])
    assert.equal(await cluster.read('Upload', namespace, 'merge'), patched)
  })

  test('a patch on what has changed since is a conflict and changes nothing', async () => {
    const seen = await cluster.create('Upload', anUpload(namespace))
    const newer = await cluster.patch('Upload', seen, { status: { phase: 'InProgress' } })
    await rejects(cluster.patch('Upload', seen, { status: { phase: 'Canceled' } }), ConflictError, 'Conflict')
    assert.equal(await cluster.read('Upload', namespace, seen.metadata.name), newer)
  })

  test('a patch without a resourceVersion takes the object as it is', async () => {
    const seen = await cluster.create('Upload', anUpload(namespace))
    await cluster.patch('Upload', seen, { status: { phase: 'InProgress' } })
    const { resourceVersion, ...metadata } = seen.metadata
    const patched = await cluster.patch('Upload', { ...seen, metadata }, { metadata: { labels: { a: 'b' } } })
    assert.equal(patched.metadata.labels, { a: 'b' })
    assert.is(patched['status']?.phase, 'InProgress')
  })

  test('a patch of what is gone, or came back as another object, is a conflict', async () => {
    const upload = anUpload(namespace)
    const seen = await cluster.create('Upload', upload)
    await cluster.delete('Upload', seen)
    await rejects(cluster.patch('Upload', seen, { status: { phase: 'Canceled' } }), ConflictError, 'NotFound')
    const other = await cluster.create('Upload', upload)
    const { resourceVersion, ...metadata } = seen.metadata
    const change = { status: { phase: 'Canceled' } } as const
    await rejects(cluster.patch('Upload', { ...seen, metadata }, change), ConflictError, 'Conflict')
    assert.equal(await cluster.read('Upload', namespace, seen.metadata.name), other)
  })

  test('a patch cannot rename', async () => {
    const seen = await cluster.create('Upload', anUpload(namespace))
    await rejects(cluster.patch('Upload', seen, { metadata: { name: 'renamed' } }), TerminalError, 'InvalidObject')
  })

  test('a patch that changes nothing moves nothing', async () => {
    const seen = await cluster.create('Upload', anUpload(namespace, { metadata: { name: 'same', labels: { a: 'b' } } }))
    const patched = await cluster.patch('Upload', seen, { metadata: { labels: { a: 'b' } } })
    assert.is(patched.metadata.resourceVersion, seen.metadata.resourceVersion)
  })

  test('status is a subresource of Snapshot: only patchStatus writes it, and it writes nothing else', async () => {
    const seen = await cluster.create('Snapshot', aSnapshot(namespace, { status: { phase: 'New' } }))
    assert.is(seen['status'], undefined)
    const patched = await cluster.patch('Snapshot', seen, {
      metadata: { labels: { a: 'b' } },
      status: { phase: 'New' },
    })
    assert.is(patched['status'], undefined)
    const stated = await cluster.patchStatus('Snapshot', patched, { phase: 'InProgress' })
    assert.is(stated['status']?.phase, 'InProgress')
    assert.equal(stated.metadata.labels, { a: 'b' })
    await rejects(cluster.patchStatus('Snapshot', patched, { phase: 'New' }), ConflictError, 'Conflict')
  })

  test('generation moves with the spec of a Snapshot, not with its status or labels', async () => {
    let seen = await cluster.create('Snapshot', aSnapshot(namespace))
    seen = await cluster.patchStatus('Snapshot', seen, { phase: 'InProgress' })
    seen = await cluster.patch('Snapshot', seen, { metadata: { labels: { a: 'b' } } })
    assert.is(seen.metadata.generation, 1)
    seen = await cluster.patch('Snapshot', seen, { spec: { snapshotCancel: true } })
    assert.is(seen.metadata.generation, 2)
  })

  test('phase and label of an Upload change in one write, which moves its generation', async () => {
    const seen = await cluster.create('Upload', anUpload(namespace, { status: { phase: 'New' } }))
    assert.is(seen['status']?.phase, 'New')
    const change = { metadata: { labels: { 'dormouse.dev/step': 'running' } }, status: { phase: 'InProgress' } }
    const patched = await cluster.patch('Upload', seen, change)
    assert.is(patched['status']?.phase, 'InProgress')
    assert.is(patched.metadata.labels?.['dormouse.dev/step'], 'running')
    assert.is(patched.metadata.generation, 2)
  })

  test('patchStatus also writes the status of a kind without the subresource', async () => {
    const seen = await cluster.create('Upload', anUpload(namespace))
    const patched = await cluster.patchStatus('Upload', seen, { phase: 'InProgress' })
    assert.is(patched['status']?.phase, 'InProgress')
    assert.equal(patched['spec'], seen['spec'])
  })

  test('a message that is too long for the kind is cut, and the rest of the status is written', async () => {
    const message = `it failed: ${'a long story, '.repeat(10_000)}`
    const snapshot = await cluster.create('Snapshot', aSnapshot(namespace))
    const failed = await cluster.patchStatus('Snapshot', snapshot, { phase: 'SnapshotFailed', message })
    assert.is(failed['status']?.phase, 'SnapshotFailed')
    assert.match(failed['status']?.message ?? '', /^it failed: a long story/)
    const upload = await cluster.create('Upload', anUpload(namespace))
    const told = await cluster.patch('Upload', upload, { status: { phase: 'UploadError', message } })
    assert.is(told['status']?.message, failed['status']?.message)
  })

  test('a delete removes exactly what was seen', async () => {
    const upload = anUpload(namespace)
    const seen = await cluster.create('Upload', upload)
    await cluster.delete('Upload', seen)
    assert.is(await cluster.read('Upload', namespace, seen.metadata.name), undefined)
    await cluster.delete('Upload', seen) // a second time is a success
    const other = await cluster.create('Upload', upload)
    await rejects(cluster.delete('Upload', seen), ConflictError, 'Conflict')
    assert.equal(await cluster.read('Upload', namespace, seen.metadata.name), other)
  })

  test('a delete that asks for it removes only what has not changed since it was seen', async () => {
    const seen = await cluster.create('Upload', anUpload(namespace))
    const changed = await cluster.patch('Upload', seen, { metadata: { labels: { touched: 'yes' } } })
    await rejects(cluster.delete('Upload', seen, 'unchanged'), ConflictError, 'Conflict')
    await cluster.delete('Upload', changed, 'unchanged')
    assert.is(await cluster.read('Upload', namespace, changed.metadata.name), undefined)
    await cluster.delete('Upload', changed, 'unchanged') // a second time is a success
  })

  test('a delete does not mind that the object has changed', async () => {
    const seen = await cluster.create('Upload', anUpload(namespace))
    await cluster.patch('Upload', seen, { status: { phase: 'InProgress' } })
    await cluster.delete('Upload', seen)
    assert.is(await cluster.read('Upload', namespace, seen.metadata.name), undefined)
  })

  test('a finalizer holds a deleted object until it is removed', async () => {
    const metadata = { name: 'held', finalizers: ['dormouse.dev/object'] }
    const seen = await cluster.create('Upload', anUpload(namespace, { metadata }))
    await cluster.delete('Upload', seen)
    const deleting = (await cluster.read('Upload', namespace, 'held')) as LooseObject
    assert.match(deleting.metadata.deletionTimestamp ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    assert.is(deleting.metadata.generation, 2)
    await cluster.delete('Upload', deleting) // changes nothing
    const finalizers = ['dormouse.dev/object', 'dormouse.dev/late']
    await rejects(cluster.patch('Upload', deleting, { metadata: { finalizers } }), TerminalError, 'InvalidObject')
    const working = await cluster.patch('Upload', deleting, { status: { phase: 'Canceled' } })
    const last = await cluster.patch('Upload', working, { metadata: { finalizers: null } })
    assert.is(last.metadata.finalizers, undefined)
    assert.is(await cluster.read('Upload', namespace, 'held'), undefined)
  })

  test('an emptied list of finalizers reads as absent', async () => {
    const metadata = { name: 'emptied', finalizers: ['dormouse.dev/object'] }
    const seen = await cluster.create('Upload', anUpload(namespace, { metadata }))
    const patched = await cluster.patch('Upload', seen, { metadata: { finalizers: [], annotations: {} } })
    assert.is(patched.metadata.finalizers, undefined)
    assert.is(patched.metadata.annotations, undefined)
  })

  test('a list has the objects of its selector, ordered by namespace and name', async () => {
    const [first, second] = under.namespaces
    const labelled = (name: string, labels: Record<string, string>) => ({ metadata: { name, labels } })
    await cluster.create('Download', anObject('Download', second, { spec: {}, ...labelled('a', { step: 'done' }) }))
    await cluster.create('Download', anObject('Download', first, { spec: {}, ...labelled('c', { step: 'upload' }) }))
    await cluster.create('Download', anObject('Download', first, { spec: {}, ...labelled('b', { other: 'x' }) }))
    const names = async (labelSelector?: string, inNamespace?: string) => {
      const options = inNamespace === undefined ? {} : { namespace: inNamespace }
      const found = await cluster.list(
        'Download',
        labelSelector === undefined ? options : { ...options, labelSelector },
      )
      return found.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)
    }
    const [a, b, c] = [`${second}/a`, `${first}/b`, `${first}/c`]
    assert.equal(await names(), [b, c, a])
    assert.equal(await names(undefined, first), [b, c])
    assert.equal(await names('', second), [a])
    assert.equal(await names('step=done'), [a])
    assert.equal(await names('step==upload,step'), [c])
    assert.equal(await names('step!=done'), [b, c])
    assert.equal(await names('step in (done, upload)'), [c, a])
    assert.equal(await names('step notin (running, queued, done)'), [b, c])
    assert.equal(await names('!step'), [b])
    assert.equal(await names('other,step notin (done)'), [b])
    assert.equal(await names('step=nowhere'), [])
    await rejects(cluster.list('Download', { labelSelector: 'step in done' }), TerminalError, 'InvalidObject')
  })

  test('pages hold each object once, in the order of a list, and say how long they are', async () => {
    for (let i = 0; i < 7; i++) {
      const metadata = { name: `p${i}`, labels: { paged: 'yes' }, annotations: { long: 'x'.repeat(1000) } }
      await cluster.create('Upload', anUpload(namespace, { metadata }))
    }
    const names: string[] = []
    let from: Cursor | undefined
    let pages = 0
    do {
      const page = await cluster.page('Upload', { namespace, labelSelector: 'paged=yes', limit: 3 }, from)
      names.push(...page.objects.map(({ metadata }) => metadata.name))
      assert.ok(page.objects.length <= 3 && page.bytes > page.objects.length * 1000)
      if (pages++ === 0) await cluster.delete('Upload', page.objects[0] as LooseObject) // not the number of objects counts, but the position
      from = page.next
    } while (from !== undefined)
    assert.equal(names, ['p0', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6'])
    assert.is(pages, 3)
    const { objects, next } = await cluster.page('Upload', { labelSelector: 'paged=yes', limit: 1 })
    assert.equal([objects.length, next !== undefined], [1, true])
    assert.equal((await cluster.page('Upload', { labelSelector: 'paged=no', limit: 1 })).next, undefined)
    await rejects(cluster.page('Upload', { notNamespaces: ['a,b'], namespace: '..' }), TerminalError, 'InvalidObject')
  })

  test('pages leave out the namespaces that are named', async () => {
    const [first, second] = under.namespaces
    for (const one of [first, second])
      await cluster.create('CloneFromSnapshot', anObject('CloneFromSnapshot', one, { spec: CLONE_SPEC }))
    const namespaces = async (notNamespaces: string[]) =>
      (await cluster.page('CloneFromSnapshot', { notNamespaces })).objects.map(({ metadata }) => metadata.namespace)
    assert.equal(await namespaces([]), [first, second])
    assert.equal(await namespaces([first]), [second])
    assert.equal(await namespaces([first, second]), [])
  })

  test('items of a list are whole objects', async () => {
    const lease = await cluster.create('Lease', anObject('Lease', namespace, { spec: { holderIdentity: 'me' } }))
    assert.equal(await cluster.list('Lease', { namespace }), [lease])
  })

  test('the times of a Lease have six decimals', async () => {
    const spec = { holderIdentity: 'me', leaseDurationSeconds: 30, renewTime: '2026-11-21T00:00:00.123456Z' }
    const lease = await cluster.create('Lease', anObject('Lease', namespace, { spec }))
    assert.equal(lease['spec'], spec)
    for (const renewTime of ['2026-11-21T00:00:00.123Z', '2026-11-21T00:00:00Z']) {
      await rejects(cluster.patch('Lease', lease, { spec: { renewTime } }), TerminalError, 'InvalidObject')
    }
    await rejects(cluster.patch('Lease', lease, { spec: { leaseDurationSeconds: 0 } }), TerminalError, 'InvalidObject')
  })

  test('a Secret takes text and gives base64', async () => {
    const secret = anObject('Secret', namespace, { stringData: { password: 'geheim' } })
    const created = await cluster.create('Secret', secret)
    assert.equal(created['data'], { password: 'Z2VoZWlt' })
    assert.is(created['stringData'], undefined)
    const bad = anObject('Secret', namespace, { stringData: { 'pass word': 'x' } })
    await rejects(cluster.create('Secret', bad), TerminalError, 'InvalidObject')
  })

  test('a PersistentVolumeClaim starts as Pending', async () => {
    const spec = {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'none',
      resources: { requests: { storage: '1Gi' } },
    }
    const claim = anObject('PersistentVolumeClaim', namespace, { spec, status: { phase: 'Bound' } })
    const created = await cluster.create('PersistentVolumeClaim', claim)
    assert.equal(created['status'], { phase: 'Pending' })
  })

  test('cluster-scoped kinds have no namespace', async () => {
    const created = await cluster.create('BackupRepository', aRepository())
    assert.is(created.metadata.namespace, undefined)
    assert.equal(await cluster.read('BackupRepository', undefined, created.metadata.name), created)
    await cluster.delete('BackupRepository', created)
    assert.is(await cluster.read('BackupRepository', undefined, created.metadata.name), undefined)
  })

  test.run()
}
