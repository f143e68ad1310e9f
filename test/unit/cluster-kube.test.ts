// How the Kubernetes adapter treats answers that a healthy API server does not give.

import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Agent, createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createCluster } from '#shared/adapters/kube/cluster.ts'
import { ConflictError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { Cluster, Cursor } from '#shared/ports/cluster.ts'
import { rejects } from '#test/contract/cluster-rejects.ts'
import { Authority } from '#test/environment/kubernetes/certificates.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

type Asked = { method: string; url: string; body: unknown; authorization: string | undefined; type: string | undefined }
type Script = (asked: Asked, response: ServerResponse, request: IncomingMessage) => void

const authority = new Authority()
const { certPem: cert, keyPem: key } = authority.serverCertificate(['127.0.0.1'])
const UPLOAD: LooseObject = {
  apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
  kind: 'Upload',
  metadata: { name: 'u', namespace: 'velero', uid: 'uid-1', resourceVersion: '7' },
}

const test = suite('Kubernetes adapter')
let asked: Asked[] = []
let stop = async () => {}

test.before.each(() => {
  asked = []
})
test.after.each(async () => {
  await stop()
})

/** A cluster whose server answers as `script` says; the n-th time that credentials are read, the token is `token-n`. */
async function clusterWith(script: Script, timeoutMs = 2000): Promise<Cluster> {
  const server = createServer({ cert, key }, (request, response) => void take(request, response))
  const take = async (request: IncomingMessage, response: ServerResponse) => {
    const text = Buffer.concat(await request.toArray()).toString()
    const { authorization, 'content-type': type } = request.headers
    const { method = '', url = '' } = request
    asked.push({ method, url, body: text === '' ? undefined : JSON.parse(text), authorization, type })
    script(asked.at(-1) as Asked, response, request)
  }
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const agents: Agent[] = []
  stop = async () => {
    for (const agent of agents) agent.destroy()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return createCluster({
    timeoutMs,
    findAccess: async () => {
      const agent = new Agent({ ca: authority.certPem, keepAlive: true })
      agents.push(agent)
      const authorization = `Bearer token-${agents.length}`
      const url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}`)
      return { server: url, agent, headers: async () => ({ authorization }) }
    },
  })
}

function answering(status: number, body: object | string, headers: Record<string, string> = {}): Script {
  return (_asked, response) => {
    response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body))
  }
}

/** One script per request; the last one repeats. */
function inTurn(...scripts: Script[]): Script {
  return (...given) => (scripts.length > 1 ? scripts.shift() : scripts[0])?.(...given)
}

function status(reason: string, extra: object = {}): object {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, message: `because ${reason}`, ...extra }
}

const read = (cluster: Cluster) => cluster.read('Upload', 'velero', 'u')

test('a busy server asks for a retry, after the delay that it names', async () => {
  for (const code of [429, 500, 502, 503, 504]) {
    const busy = await clusterWith(answering(code, status('TooManyRequests'), { 'retry-after': '3' }))
    const error = await rejects(read(busy), RetryableError, 'KubernetesUnavailable')
    assert.is(error.retryAfterSeconds, 3)
    await stop()
  }
  const page = await clusterWith(answering(503, '<html>', { 'retry-after': 'Fri, 31 Dec 1999 23:59:59 GMT' }))
  assert.is((await rejects(read(page), RetryableError, 'KubernetesUnavailable')).retryAfterSeconds, undefined)
})

test('no answer in time asks for a retry, whether it is late or stops half-way', async () => {
  const late = await clusterWith(() => {}, 50)
  assert.match((await rejects(read(late), RetryableError, 'KubernetesUnavailable')).message, 'no answer in 50 ms')
  await stop()
  const half = await clusterWith((_asked, response) => response.writeHead(200).write('{"metadata":'), 50)
  await rejects(read(half), RetryableError, 'KubernetesUnavailable')
})

test('an answer that is cut off or is no JSON asks for a retry', async () => {
  const cut = await clusterWith((_asked, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('{')
    setTimeout(() => response.destroy(), 10)
  })
  await rejects(read(cut), RetryableError, 'KubernetesUnavailable')
  await stop()
  await rejects(read(await clusterWith(answering(200, '<html>'))), RetryableError, 'KubernetesAnswerUnreadable')
  await stop()
  await rejects(read(await clusterWith(answering(302, ''))), RetryableError, 'KubernetesAnswerUnreadable')
})

test('a success that does not fit the request is no answer: nothing counts as gone, empty or done', async () => {
  const other = { ...UPLOAD, metadata: { ...UPLOAD.metadata, name: 'other' } }
  const foreign: (string | object)[] = [
    '<!DOCTYPE html><title>Sign in</title>',
    '',
    '[]',
    '{}',
    'null',
    { items: [] },
    { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: [] },
    { kind: 'UploadList', apiVersion: 'example.com/v1', metadata: {}, items: [] },
    { kind: 'UploadList', apiVersion: UPLOAD.apiVersion, metadata: {} },
    { kind: 'UploadList', apiVersion: UPLOAD.apiVersion, metadata: {}, items: [{}] },
    { ...UPLOAD, kind: 'Download' },
    { ...UPLOAD, metadata: { ...UPLOAD.metadata, namespace: 'elsewhere' } },
    { ...UPLOAD, metadata: { name: 'u', namespace: 'velero' } },
    { ...UPLOAD, apiVersion: 'v1' },
    other,
    status('Whatever'),
  ]
  for (const body of foreign) {
    const cluster = await clusterWith(answering(200, body))
    const calls: (() => Promise<unknown>)[] = [
      () => read(cluster),
      () => cluster.list('Upload', { namespace: 'velero' }),
      () => cluster.create('Upload', UPLOAD),
      () => cluster.patch('Upload', UPLOAD, {}),
      () => cluster.patchStatus('Upload', UPLOAD, {}),
      () => cluster.delete('Upload', UPLOAD),
    ]
    for (const call of calls) {
      const error = await rejects(call(), RetryableError, 'KubernetesAnswerUnreadable')
      assert.ok(error.message.length < 400)
    }
    await stop()
  }
  const missing = await clusterWith(answering(404, { reason: 'NotFound', message: 'a page of a proxy' }))
  await rejects(read(missing), RetryableError, 'KubernetesKindMissing')
})

test('a deletion is done when the server says Success, or answers with the object that waits', async () => {
  for (const body of [{ kind: 'Status', apiVersion: 'v1', status: 'Success' }, UPLOAD]) {
    const cluster = await clusterWith(answering(200, body))
    await cluster.delete('Upload', UPLOAD)
    await stop()
  }
})

test('the words of a server are cut short', async () => {
  const long = 'x'.repeat(100_000)
  const wordy = await clusterWith(answering(500, { kind: 'Status', apiVersion: 'v1', message: `a\u0007\n${long}` }))
  const error = await rejects(read(wordy), RetryableError, 'KubernetesUnavailable')
  assert.ok(error.message.length < 1000, `${error.message.length}`)
  await stop()
  const odd = { kind: 'Status', apiVersion: 'v1', message: { a: 1 }, details: { causes: 'none' } }
  const nonsense = await clusterWith(answering(403, odd))
  await rejects(read(nonsense), TerminalError, 'Forbidden')
})

test('a server with a foreign certificate is not told the token', async () => {
  const server = createServer({ cert, key }, () => asked.push({} as Asked))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const agent = new Agent({ ca: new Authority().certPem })
  const cluster = createCluster({ findAccess: async () => ({ server: url, agent, headers: async () => ({}) }) })
  const error = await rejects(read(cluster), RetryableError, 'KubernetesUnavailable')
  assert.match(error.message, 'certificate')
  assert.equal(asked, [])
  server.close()
  stop = async () => {}
})

test('a 401 makes it read the credentials again, once', async () => {
  const once401 = await clusterWith(inTurn(answering(401, status('Unauthorized')), answering(200, UPLOAD)))
  assert.equal(await read(once401), UPLOAD)
  assert.equal(
    asked.map(({ authorization }) => authorization),
    ['Bearer token-1', 'Bearer token-2'],
  )
  await stop()
  asked = []
  const always = await clusterWith(answering(401, status('Unauthorized')))
  await rejects(read(always), RetryableError, 'KubernetesUnavailable')
  assert.is(asked.length, 2)
})

test('a kept connection that the server dropped is replaced for a read, and reported for a write', async () => {
  const drop: Script = (_asked, _response, request) => request.socket.destroy()
  const reading = await clusterWith(inTurn(answering(200, UPLOAD), drop, answering(200, UPLOAD)))
  await read(reading)
  assert.equal(await read(reading), UPLOAD)
  assert.is(asked.length, 3)
  await stop()
  asked = []
  const writing = await clusterWith(inTurn(answering(200, UPLOAD), drop, answering(200, UPLOAD)))
  await read(writing)
  await rejects(writing.patch('Upload', UPLOAD, {}), RetryableError, 'KubernetesUnavailable')
  assert.is(asked.length, 2)
})

const CLAIM = 'persistentvolumeclaims "data" is forbidden:'
const POLICY = "ValidatingAdmissionPolicy 'labels' with binding 'all' denied request"
const saying = (message: string) => ({ kind: 'Status', apiVersion: 'v1', status: 'Failure', message })

test('refusals keep their meaning', async () => {
  const cases = [
    [409, status('AlreadyExists'), ConflictError, 'AlreadyExists'],
    [409, status('Conflict'), ConflictError, 'Conflict'],
    [404, status('NotFound'), ConflictError, 'NotFound'],
    [404, '404 page not found', RetryableError, 'KubernetesKindMissing'],
    [403, status('Forbidden'), TerminalError, 'Forbidden'],
    [
      403,
      status('Forbidden', { details: { causes: [{ reason: 'NamespaceTerminating' }] } }),
      TerminalError,
      'NamespaceTerminating',
    ],
    [403, saying('uploads "u" is forbidden: User "x" cannot patch resource "uploads"'), TerminalError, 'Forbidden'],
    [403, saying('uploads is forbidden: User "is forbidden: y" cannot list'), TerminalError, 'Forbidden'],
    [403, saying(`${CLAIM} exceeded quota: small, requested: requests.storage=16Mi`), TerminalError, 'QuotaExceeded'],
    [403, saying(`${CLAIM} status unknown for quota: small, resources: x`), TerminalError, 'QuotaExceeded'],
    [403, saying(`${CLAIM} maximum storage usage per PersistentVolumeClaim is 8Mi`), TerminalError, 'AdmissionDenied'],
    [403, saying(`${CLAIM} ${POLICY}: no label`), TerminalError, 'AdmissionDenied'],
    [422, saying(`${CLAIM} ${POLICY}: no label`), TerminalError, 'AdmissionDenied'],
    [400, saying('admission webhook "a.b.c" denied the request: no'), TerminalError, 'AdmissionDenied'],
    [403, saying('admission webhook "a.b.c" denied the request: no'), TerminalError, 'AdmissionDenied'],
    [400, status('BadRequest'), TerminalError, 'InvalidObject'],
    [413, status('RequestEntityTooLarge'), TerminalError, 'InvalidObject'],
    [422, status('Invalid'), TerminalError, 'InvalidObject'],
    [422, status('Invalid', { details: { causes: [{ field: 'metadata.uid' }] } }), ConflictError, 'Conflict'],
    [405, status('MethodNotAllowed'), TerminalError, 'KubernetesRefused'],
  ] as const
  for (const [code, body, errorClass, reason] of cases) {
    const cluster = await clusterWith(answering(code, body))
    const error = await rejects(cluster.patch('Upload', UPLOAD, {}), errorClass, reason)
    assert.match(error.message, `patch Upload velero/u: ${code}`)
    await stop()
  }
})

test('a patch carries what was seen, and a status goes to its own path', async () => {
  const snapshot = { ...UPLOAD, kind: 'Snapshot', apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1' }
  const cluster = await clusterWith(inTurn(answering(200, UPLOAD), answering(200, snapshot)))
  await cluster.patch('Upload', UPLOAD, { metadata: { labels: { a: null } }, status: { phase: 'New' } })
  await cluster.patchStatus('Snapshot', snapshot, { phase: 'New' })
  const seen = { resourceVersion: '7', uid: 'uid-1' }
  const path = 'v1alpha1/namespaces/velero'
  assert.equal(
    asked.map(({ method, url, body, type }) => ({ method, url, body, type })),
    [
      {
        method: 'PATCH',
        url: `/apis/datamover.cnsdp.vmware.com/${path}/uploads/u`,
        body: { metadata: { labels: { a: null }, ...seen }, status: { phase: 'New' } },
        type: 'application/merge-patch+json',
      },
      {
        method: 'PATCH',
        url: `/apis/backupdriver.cnsdp.vmware.com/${path}/snapshots/u/status`,
        body: { metadata: seen, status: { phase: 'New' } },
        type: 'application/merge-patch+json',
      },
    ],
  )
})

test('a list follows its pages, and goes on where it was when a page has expired', async () => {
  const list = { kind: 'LeaseList', apiVersion: 'coordination.k8s.io/v1' }
  const item = (name: string) => ({ metadata: { name, namespace: 'velero', uid: name } })
  const page = (name: string, next: string) => ({ ...list, metadata: { continue: next }, items: [item(name)] })
  const paged = await clusterWith(inTurn(answering(200, page('a', 'n/1+')), answering(200, page('b', ''))))
  const names = async (cluster: Cluster) => (await cluster.list('Lease')).map(({ metadata }) => metadata.name)
  assert.equal(await names(paged), ['a', 'b'])
  const path = '/apis/coordination.k8s.io/v1/leases'
  const urls = () => asked.map(({ url }) => url)
  assert.equal(urls(), [`${path}?limit=32`, `${path}?limit=64&continue=n%2F1%2B`])
  await stop()
  asked = []
  // The server gives a token for the same place in the list as it is now.
  const expired = answering(410, status('Expired', { metadata: { continue: 'later' } }))
  const cluster = await clusterWith(inTurn(answering(200, page('a', 'n')), expired, answering(200, page('b', ''))))
  assert.equal(await names(cluster), ['a', 'b'])
  assert.is(urls().at(-1), `${path}?limit=64&continue=later`)
  await stop()
  const without = await clusterWith(inTurn(answering(200, page('a', 'n')), answering(410, status('Expired'))))
  await rejects(names(without), RetryableError, 'KubernetesUnavailable')
})

test('a page that gets too long is hung up on and asked for with fewer objects, until there is one', async () => {
  const long = 'x'.repeat(1_500_000)
  const list = { kind: 'UploadList', apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1' }
  const metadata = (index: number) => ({ name: `o-${index}`, namespace: 'velero', uid: `uid-${index}` })
  const objects = Array.from({ length: 40 }, (_, index) => ({ metadata: metadata(index), spec: { long } }))
  const limits: number[] = []
  const cluster = await clusterWith(({ url }, response) => {
    const query = new URL(url, 'https://api').searchParams
    const limit = Number(query.get('limit'))
    const start = Number(query.get('continue') ?? 0)
    limits.push(limit)
    const next = start + limit < objects.length ? String(start + limit) : ''
    response.end(JSON.stringify({ ...list, metadata: { continue: next }, items: objects.slice(start, start + limit) }))
  }, 20_000)
  let from: Cursor | undefined
  let count = 0
  do {
    const page = await cluster.page('Upload', {}, from)
    assert.ok(page.bytes < 4_000_000, `${page.bytes} bytes in one page`)
    count += page.objects.length
    from = page.next
  } while (from !== undefined)
  assert.is(count, 40)
  assert.equal(limits.slice(0, 4), [32, 4, 1, 1])
})

test('pages shrink and grow with what they hold, and leave out namespaces at the server', async () => {
  const cluster = await clusterWith(
    answering(200, {
      kind: 'SnapshotList',
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      metadata: { continue: 'n' },
      items: [{ metadata: { name: 'a', namespace: 'a', uid: 'uid-a' } }],
    }),
  )
  let from: Cursor | undefined
  for (let i = 0; i < 4; i++) from = (await cluster.page('Snapshot', { notNamespaces: ['a', 'b'] }, from)).next
  const query = asked.map(({ url }) => new URL(url, 'https://api').searchParams)
  assert.equal(
    query.map((each) => each.get('limit')),
    ['32', '64', '128', '128'],
  )
  assert.is(query[0]?.get('fieldSelector'), 'metadata.namespace!=a,metadata.namespace!=b')
  await rejects(cluster.page('Snapshot', { notNamespaces: ['a,b'] }), TerminalError, 'InvalidObject')
})

test('an answer longer than any object is not read to its end', async () => {
  const endless = await clusterWith((_asked, response) => {
    const chunk = Buffer.alloc(1 << 20, 0x20)
    const more = () => {
      while (!response.destroyed && response.write(chunk));
      response.once('drain', more)
    }
    more()
  }, 20_000)
  assert.match((await rejects(read(endless), RetryableError, 'KubernetesUnavailable')).message, 'longer than')
})

test.run()
