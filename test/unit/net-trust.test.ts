// Which servers a TLS connection trusts: a few handshakes in memory. test/contract/go-tls.test.ts compares many with Go's own.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { duplexPair } from 'node:stream'
import tls from 'node:tls'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Anchors, readBundle, secureContextFor } from '#shared/adapters/net/anchors.ts'
import { textsIn } from '#shared/adapters/net/certificate-folders.ts'
import { checkIdentity } from '#shared/adapters/net/identity.ts'
import { isDistrust, tlsOptions } from '#shared/adapters/net/trust.ts'
import { type Issued, issue } from '#test/contract/go-certificates.ts'

const HOST = 'minio.store.test'
const root = issue({ name: 'root', ca: true })
const middle = issue({ name: 'issuing', ca: true, by: root })
const leaf = issue({ name: HOST, by: middle, names: [HOST] })
const oldMiddle = issue({ name: 'issuing', ca: true, by: root, key: middle.key, days: [-40, -10] })

const test = suite('trust')

/** undefined: the server is trusted. */
function handshake(anchors: Anchors, chain: Issued[] = [leaf, middle], host = HOST): Promise<Error | undefined> {
  const [near, far] = duplexPair()
  const secureContext = tls.createSecureContext({
    cert: chain.map(({ certPem }) => certPem).join(''),
    key: chain[0]!.keyPem,
  })
  const server = new tls.TLSSocket(far, { isServer: true, secureContext }).on('error', () => {})
  const trust = { secureContext: secureContextFor({ only: true, ...anchors }), verify: true }
  const client = tls.connect({ socket: near, ...tlsOptions(host, trust) })
  const { promise, resolve } = Promise.withResolvers<Error | undefined>()
  client.once('secureConnect', () => resolve(undefined)).once('error', resolve)
  return promise.finally(() => {
    client.destroy()
    server.destroy()
  })
}

test('each certificate that is given is an anchor: the root, the issuing CA, the own one of the server', async () => {
  for (const { certPem } of [root, middle, leaf]) assert.is(await handshake({ caPem: certPem }), undefined)
  const error = await handshake({ caPem: issue({ name: 'other', ca: true }).certPem })
  assert.ok(error !== undefined && isDistrust(error))
})

test('an anchor that has expired counts for nothing, and does not hide its successor', async () => {
  assert.is(await handshake({ caPem: oldMiddle.certPem + root.certPem }), undefined)
  const error = await handshake({ caPem: oldMiddle.certPem }, [leaf])
  assert.is((error as NodeJS.ErrnoException).code, 'CERT_HAS_EXPIRED')
})

test('a common name does not count, and a wildcard stands for one label, before a private top domain too', async () => {
  const nameless = issue({ name: HOST, by: root })
  const error = await handshake({ caPem: root.certPem }, [nameless])
  assert.ok(error !== undefined && isDistrust(error))
  assert.match(error.message, 'a common name alone does not count')
  const rows: [string, string, boolean][] = [
    ['DNS:*.store.test', HOST, true],
    ['DNS:*.test', 'minio.test', true],
    ['DNS:*.test', HOST, false],
    ['DNS:*', 'minio', false],
    ['DNS:mi*.store.test', HOST, false],
    ['IP Address:10.0.0.1', '10.0.0.1', true],
    ['DNS:10.0.0.1', '10.0.0.1', false],
    ['IP Address:FD00:0:0:0:0:0:0:1', 'fd00::1', true],
    [`DNS:"a, DNS:${HOST}"`, HOST, false],
    [`DNS:"a", DNS:${HOST}`, HOST, true],
    [`DNS:"a, DNS:${HOST}`, HOST, false],
  ]
  for (const [subjectaltname, host, good] of rows)
    assert.is(checkIdentity(host, { subjectaltname }) === undefined, good, `${subjectaltname} for ${host}`)
})

test('a bundle is read in every form that people have, and what is no certificate is counted', () => {
  const crlf = root.certPem.replaceAll('\n', '\r\n')
  const broken = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'
  const bundle = readBundle(`# ours\n${crlf}between${broken}${root.keyPem}${middle.certPem}garbage`)
  assert.equal(bundle, { certificates: [root.certPem, middle.certPem], unread: [2] })
  assert.equal(readBundle('words'), { certificates: [], unread: [] })
})

/** As Kubernetes mounts a ConfigMap: a link to a folder beside it, and for each file a link through that one. */
function aMountedFolder(within: string, name: string, files: Record<string, string>): string {
  const folder = path.join(within, name)
  mkdirSync(path.join(folder, '..one'), { recursive: true })
  symlinkSync('..one', path.join(folder, '..data'))
  for (const [file, text] of Object.entries(files)) {
    writeFileSync(path.join(folder, '..one', file), text)
    symlinkSync(path.join('..data', file), path.join(folder, file))
  }
  return folder
}

test('the authorities of SSL_CERT_DIR lie in several folders, and count as in Go', async () => {
  const within = mkdtempSync(path.join(os.tmpdir(), 'dormouse-anchors-'))
  const [before, ofCompany] = [process.env['SSL_CERT_DIR'], issue({ name: 'of the company', ca: true })]
  try {
    const first = aMountedFolder(within, 'first', { 'other.crt': middle.certPem })
    const second = aMountedFolder(within, 'second', { 'ca.pem': `# ours\n${ofCompany.certPem}`, words: 'words' })
    symlinkSync('ca.pem', path.join(second, '5ed36f99.0'))
    const folders = `${first}:${path.join(within, 'none')}::${second}`
    assert.equal(textsIn(folders), [middle.certPem, `# ours\n${ofCompany.certPem}`, 'words'])
    assert.equal(textsIn(''), [])
    process.env['SSL_CERT_DIR'] = folders
    const server = issue({ name: HOST, by: ofCompany, names: [HOST] })
    assert.is(await handshake({ only: false }, [server]), undefined)
  } finally {
    if (before === undefined) delete process.env['SSL_CERT_DIR']
    else process.env['SSL_CERT_DIR'] = before
    rmSync(within, { recursive: true })
  }
})

test('a file in a folder of SSL_CERT_DIR that is larger than any bundle is ignored', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'dormouse-anchors-'))
  try {
    writeFileSync(path.join(folder, 'a'), Buffer.alloc(17 << 20, 'x'))
    writeFileSync(path.join(folder, 'b'), root.certPem)
    assert.equal(textsIn(folder), [root.certPem])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test.run()
