// Everything that Dormouse connects to, with a proxy in the environment: the store, vCenter, the API server, the broker.

import { randomBytes, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createCluster } from '#shared/adapters/kube/cluster.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import { SoapConnection, VIM } from '#shared/providers/vsphere/soap.ts'
import type { S3Settings } from '#shared/repository/stores/s3/settings.ts'
import { createS3Store } from '#shared/repository/stores/s3/store.ts'
import { createMetrics } from '#shared/runtime/metrics.ts'
import { pushMetrics } from '#shared/runtime/otlp.ts'
import { sendWake } from '#shared/runtime/wake.ts'
import { Authority } from '../environment/kubernetes/certificates.ts'
import { rejects } from './cluster-rejects.ts'
import { type ForwardProxy, startForwardProxy } from './forward-proxy.ts'

const authority = new Authority()
const pair = authority.serverCertificate(['store.test', 'vc.test', 'api.test', 'sts.test', '127.0.0.1'])
const tlsPair = { cert: pair.certPem, key: pair.keyPem }
const VARIABLES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'] as const

const ASSUMED = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>a</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
  <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
  </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`
const CONNECT_MS = 800
const NO_NODES = JSON.stringify({ kind: 'NodeList', apiVersion: 'v1', metadata: {}, items: [] })

const test = suite('proxies')
const objects = new Map<string, Buffer>()
const servers: http.Server[] = []
const before: Record<string, string | undefined> = {}
let folder: string
let proxy: ForwardProxy
let secureProxy: ForwardProxy
/** Its certificate comes from an unknown authority. */
let foreignProxy: ForwardProxy
let securePort: number
let plainPort: number

test.before(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'dormouse-proxies-'))
  proxy = await startForwardProxy()
  secureProxy = await startForwardProxy(tlsPair)
  const foreign = new Authority('foreign').serverCertificate(['127.0.0.1'])
  foreignProxy = await startForwardProxy({ cert: foreign.certPem, key: foreign.keyPem })
  securePort = await listen(https.createServer(tlsPair, (request, response) => void serve(request, response)))
  plainPort = await listen(http.createServer((request, response) => void serve(request, response)))
  for (const name of VARIABLES) before[name] = process.env[name]
})
test.before.each(() => {
  for (const name of VARIABLES) delete process.env[name]
  proxy.asked.length = 0
  secureProxy.asked.length = 0
  proxy.refuse = undefined
})
test.after(() => {
  for (const name of VARIABLES) if (before[name] !== undefined) process.env[name] = before[name]
  for (const server of [...servers]) {
    server.close()
    server.closeAllConnections()
  }
  proxy.stop()
  secureProxy.stop()
  foreignProxy.stop()
  rmSync(folder, { recursive: true })
})

async function listen(server: http.Server): Promise<number> {
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

/** As much of an S3 store, a vCenter, an API server and a broker as these tests need. */
async function serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const body = Buffer.concat(await request.toArray())
  const key = request.url?.split('?')[0] ?? ''
  const object = objects.get(key)
  const fail = (status: number, code: string) =>
    response.writeHead(status, { 'content-type': 'application/xml' }).end(`<Error><Code>${code}</Code></Error>`)
  if (key.startsWith('/api/')) return void response.setHeader('content-type', 'application/json').end(NO_NODES)
  if (body.includes('Action=AssumeRoleWithWebIdentity')) return void response.end(ASSUMED)
  if (request.method === 'POST') return void response.end()
  if (request.method === 'PUT' && object !== undefined) return void fail(412, 'PreconditionFailed')
  if (request.method === 'PUT') return void response.setHeader('etag', '"x"').end(objects.set(key, body) && '')
  if (object === undefined) return void fail(404, 'NoSuchKey')
  response.setHeader('etag', '"x"')
  const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []
  const part = from === undefined ? object : object.subarray(Number(from), Number(to) + 1)
  const headers = {
    'content-length': part.length,
    ...(from === undefined ? {} : { 'content-range': rangeOf(from, part, object) }),
  }
  response.writeHead(from === undefined ? 200 : 206, headers).end(part)
}

function rangeOf(from: string, part: Buffer, whole: Buffer): string {
  return `bytes ${from}-${Number(from) + part.length - 1}/${whole.length}`
}

function store(url: string, change: Partial<S3Settings> = {}) {
  const settings: S3Settings = {
    kind: 's3',
    region: 'us-east-1',
    bucket: 'bucket',
    prefix: randomBytes(4).toString('hex'),
    url,
    forcePathStyle: true,
    caCert: authority.certPem,
    insecureSkipTlsVerify: false,
    credentials: { accessKeyId: 'x', secretAccessKey: 'y' },
    serverSideEncryption: undefined,
    kmsKeyId: undefined,
    customerKey: undefined,
    tagging: undefined,
    ...change,
  }
  return createS3Store(settings, { retry: { attempts: 1 }, connectTimeoutMs: CONNECT_MS, idleTimeoutMs: 2000 })
}

async function exercise(url: string): Promise<void> {
  const tried = store(url)
  const body = randomBytes(5 * MiB)
  assert.is(await tried.putIfAbsent('pack', body), true)
  assert.is(await tried.putIfAbsent('pack', body), false)
  assert.is(Buffer.compare((await tried.get('pack'))!, body), 0)
  assert.is(Buffer.compare((await tried.getRange('pack', 3 * MiB, MiB))!, body.subarray(3 * MiB, 4 * MiB)), 0)
  assert.is(await tried.get('none'), undefined)
  tried.close()
}

test('the store over TLS is reached by CONNECT, with credentials from the address of the proxy', async () => {
  process.env['HTTPS_PROXY'] = `http://us%40er:pass@127.0.0.1:${proxy.port}`
  await exercise(`https://store.test:${securePort}`)
  assert.ok(proxy.asked.length > 0)
  const credentials = `Basic ${Buffer.from('us@er:pass').toString('base64')}`
  for (const each of proxy.asked) assert.equal(each, { what: `CONNECT store.test:${securePort}`, credentials })
})

test('connections through a proxy are kept', async () => {
  process.env['HTTPS_PROXY'] = `127.0.0.1:${proxy.port}`
  const tried = store(`https://store.test:${securePort}`)
  for (let time = 0; time < 5; time++) await tried.get('none')
  assert.is(proxy.asked.length, 1)
})

test('the store without TLS gets plain requests from the proxy, which is told the whole address', async () => {
  process.env['HTTP_PROXY'] = `http://user:pass@127.0.0.1:${proxy.port}`
  await exercise(`http://store.test:${plainPort}`)
  const [first] = proxy.asked
  assert.match(first!.what, new RegExp(`^PUT http://store.test:${plainPort}/bucket/`))
  assert.is(first!.credentials, `Basic ${Buffer.from('user:pass').toString('base64')}`)
})

test('a proxy that is reached over TLS is trusted as the store is', async () => {
  process.env['HTTPS_PROXY'] = `https://127.0.0.1:${secureProxy.port}`
  process.env['HTTP_PROXY'] = process.env['HTTPS_PROXY']
  await exercise(`https://store.test:${securePort}`)
  await exercise(`http://store.test:${plainPort}`)
  assert.ok(secureProxy.asked.length > 1)
  const untrusting = store(`https://store.test:${securePort}`, { caCert: undefined })
  const error = await rejects(untrusting.get('config'), RetryableError, 'S3Unavailable')
  assert.match(error.message, `proxy https://127.0.0.1:${secureProxy.port}`)
})

test('an untrusted proxy gets no password, even if the target behind it need not be verified', async () => {
  const url = `https://user:secret@127.0.0.1:${foreignProxy.port}`
  Object.assign(process.env, { HTTPS_PROXY: url, HTTP_PROXY: url })
  const name = `proxy https://127.0.0.1:${foreignProxy.port}`
  const pinnedSha256 = new X509Certificate(pair.certPem).fingerprint256.replaceAll(':', '').toLowerCase()
  for (const trust of [{ pinnedSha256 }, { insecure: true }]) {
    const error = await rejects(askVcenter(trust), RetryableError, 'VCenterUnreachable')
    assert.match(error.message, name)
  }
  for (const address of [`https://store.test:${securePort}`, `http://store.test:${plainPort}`]) {
    const careless = store(address, { insecureSkipTlsVerify: true })
    const error = await rejects(careless.get('none'), RetryableError, 'S3Unavailable')
    assert.match(error.message, name)
    careless.close()
  }
  const unverified = { 'insecure-skip-tls-verify': true, 'certificate-authority-data': undefined }
  await rejects(kubeconfig(unverified).list('Node'), RetryableError, 'KubernetesUnavailable')
  assert.equal(foreignProxy.asked, [])
})

test('behind the proxy the certificate is still checked', async () => {
  process.env['HTTPS_PROXY'] = `http://127.0.0.1:${proxy.port}`
  const untrusting = store(`https://store.test:${securePort}`, { caCert: undefined })
  await rejects(untrusting.get('config'), TerminalError, 'S3CertificateUntrusted')
  await rejects(store(`https://other.test:${securePort}`).get('config'), TerminalError, 'S3CertificateUntrusted')
})

test('NO_PROXY keeps an address in a network away from the proxy, as loopback always is', async () => {
  process.env['HTTPS_PROXY'] = `http://127.0.0.1:${proxy.port}`
  await exercise(`https://127.0.0.1:${securePort}`)
  assert.is(proxy.asked.length, 0)
  const dns = process.getBuiltinModule('node:dns')
  const { lookup } = dns
  // Connects directly to a name that only the proxy resolves: the lookup fails.
  dns.lookup = ((name: string, _: object, done: (error: Error) => void) =>
    done(Object.assign(new Error(`who is ${name}`), { code: 'ENOTFOUND', hostname: name }))) as never
  process.env['NO_PROXY'] = '10.0.0.0/8,.test'
  const error = await rejects(store(`https://store.test:${securePort}`).get('config'), RetryableError, 'S3Unavailable')
  dns.lookup = lookup
  assert.match(error.message, 'store.test is unknown')
  assert.is(proxy.asked.length, 0)
})

test('a proxy that refuses, is silent, hangs up or sends nonsense is named in the message, without its password', async () => {
  process.env['HTTPS_PROXY'] = `http://user:secret@127.0.0.1:${proxy.port}`
  const url = `https://store.test:${securePort}`
  const refusals: [string, RegExp][] = [
    ['HTTP/1.1 407 Proxy Authentication Required\r\n\r\n', /does not connect to store\.test:\d+: HTTP\/1\.1 407/],
    ['HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno', /HTTP\/1\.1 403 Forbidden/],
    ['silence', /no connection after 800 ms/],
    ['', /closed the connection/],
    ['SSH-2.0-OpenSSH_9.9\r\n\r\n', /SSH-2\.0/],
    ['x'.repeat(20_000), /too long/],
  ]
  for (const [refusal, words] of refusals) {
    proxy.refuse = refusal
    const error = await rejects(store(url).get('config'), RetryableError, 'S3Unavailable')
    assert.match(error.message, words)
    assert.not.match(error.message, 'secret')
    if (refusal !== 'silence') assert.match(error.message, `proxy http://127.0.0.1:${proxy.port}`)
  }
})

test('a role by web identity is asked for through the proxy, of an STS that is trusted as the store is', async () => {
  const token = path.join(folder, 'token')
  writeFileSync(token, 'a token')
  const role = {
    AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/backup',
    AWS_WEB_IDENTITY_TOKEN_FILE: token,
    AWS_ENDPOINT_URL_STS: `https://sts.test:${securePort}`,
    AWS_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
  }
  Object.assign(process.env, role, { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` })
  try {
    const tried = store(`https://store.test:${securePort}`, { credentials: undefined })
    assert.is(await tried.get('none'), undefined)
  } finally {
    for (const name of Object.keys(role)) delete process.env[name]
  }
  assert.ok(proxy.asked.some(({ what }) => what === `CONNECT sts.test:${securePort}`))
})

test('a kind of proxy that Dormouse does not support is refused by name', async () => {
  const url = `https://store.test:${securePort}`
  for (const address of [`socks5://user:secret@127.0.0.1:${proxy.port}`, 'http://user:secret@proxy :3128']) {
    process.env['HTTPS_PROXY'] = address
    const error = await rejects(store(url).get('config'), RetryableError, 'ProxyUnsupported')
    assert.match(error.message, 'HTTPS_PROXY')
    assert.not.match(error.message, 'secret')
  }
})

test('an upload that is aborted while the proxy is silent ends at once', async () => {
  process.env['HTTPS_PROXY'] = `http://127.0.0.1:${proxy.port}`
  proxy.refuse = 'silence'
  const calledOff = new AbortController()
  const putting = store(`https://store.test:${securePort}`).putIfAbsent('pack', Buffer.alloc(8), calledOff.signal)
  setTimeout(() => calledOff.abort(), 20)
  const startMs = performance.now()
  await putting.then(
    () => assert.unreachable(),
    () => {},
  )
  assert.ok(performance.now() - startMs < 250, 'not at once')
})

async function askVcenter(trust: object): Promise<unknown> {
  const vcenter = { host: 'vc.test', port: securePort, user: 'u', password: 'p', insecure: false, ...trust }
  const connection = new SoapConnection(vcenter)
  const call = { service: VIM, method: 'Ask', on: { type: 'Thing', id: 'thing-1' }, repeatable: true }
  return await connection.call(call).finally(() => connection.close())
}

test('vCenter is reached through the proxy: by its CA, by its pin, and not by another', async () => {
  process.env['HTTPS_PROXY'] = `http://127.0.0.1:${proxy.port}`
  const pinnedSha256 = new X509Certificate(pair.certPem).fingerprint256.replaceAll(':', '').toLowerCase()
  // The server is no vCenter: an unreadable answer shows that the connection reached it.
  for (const trust of [{ caPem: authority.certPem }, { pinnedSha256 }, { insecure: true }])
    await rejects(askVcenter(trust), RetryableError, 'VCenterAnswerUnreadable')
  for (const trust of [{}, { caPem: new Authority('other').certPem }, { pinnedSha256: '00'.repeat(32) }])
    await rejects(askVcenter(trust), RetryableError, 'VCenterCertificateUntrusted')
  assert.ok(proxy.asked.every(({ what }) => what === `CONNECT vc.test:${securePort}`))
  assert.is(proxy.asked.length, 6)
  proxy.refuse = 'HTTP/1.1 503 Service Unavailable\r\n\r\n'
  const error = await rejects(askVcenter({ caPem: authority.certPem }), RetryableError, 'VCenterUnreachable')
  assert.match(error.message, `proxy http://127.0.0.1:${proxy.port} does not connect`)
})

function kubeconfig(more: object) {
  const file = path.join(folder, 'config')
  const cluster = {
    server: `https://api.test:${securePort}`,
    'certificate-authority-data': Buffer.from(authority.certPem).toString('base64'),
    ...more,
  }
  const named = [{ name: 'x', cluster, user: { token: 't' }, context: { cluster: 'x', user: 'x' } }]
  const text = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'x',
    clusters: named,
    users: named,
    contexts: named,
  }
  writeFileSync(file, JSON.stringify(text))
  return createCluster({ kubeconfig: file })
}

test('the API server is reached through the proxy of the environment, or of the kubeconfig file', async () => {
  process.env['HTTPS_PROXY'] = `http://127.0.0.1:${proxy.port}`
  assert.equal(await kubeconfig({}).list('Node'), [])
  process.env['HTTPS_PROXY'] = 'http://127.0.0.1:1'
  assert.equal(await kubeconfig({ 'proxy-url': `http://127.0.0.1:${proxy.port}` }).list('Node'), [])
  assert.is(proxy.asked.filter(({ what }) => what === `CONNECT api.test:${securePort}`).length, 2)
  process.env['HTTPS_PROXY'] = `socks5://127.0.0.1:${proxy.port}`
  await rejects(kubeconfig({}).list('Node'), RetryableError, 'ProxyUnsupported')
})

test('a wake-up and the metrics go through the proxy, or past it by NO_PROXY', async () => {
  process.env['HTTP_PROXY'] = `http://127.0.0.1:${proxy.port}`
  const url = `http://broker.knative.svc.test:${plainPort}`
  const ref = { kind: 'Upload', namespace: 'velero', name: 'u' } as const
  assert.is(await sendWake(`${url}/velero/default`, ref), 'accepted')
  await pushMetrics(`${url}/v1/metrics`, 'upload', 'pod', createMetrics(), { startedMs: 0, nowMs: 1 })
  assert.equal(
    proxy.asked.map(({ what }) => what),
    [`POST ${url}/velero/default`, `POST ${url}/v1/metrics`],
  )
  process.env['NO_PROXY'] = '.svc.test'
  await rejects(sendWake(`${url}/velero/default`, ref), RetryableError, 'WakeFailed')
  assert.is(proxy.asked.length, 2)
  await sendWake(`http://127.0.0.1:${plainPort}/velero/default`, ref)
  assert.is(proxy.asked.length, 2)
})

test.run()
