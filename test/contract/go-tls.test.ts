// Gives the same servers and bundles to Go's crypto/tls and to both TLS clients of Dormouse, for the store and for vCenter: the answer is
// the same for each row.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DormouseError } from '#shared/kernel/errors.ts'
import { SoapConnection, VIM } from '#shared/providers/vsphere/soap.ts'
import type { S3Settings } from '#shared/repository/stores/s3/settings.ts'
import { createS3Store } from '#shared/repository/stores/s3/store.ts'
import { bucketSettings } from '#test/support/stores.ts'
import { askTls, type GoAnswer, type TlsRow } from './go-peer.ts'
import { HOST, ROWS, type Row, system, systemFolder } from './go-tls-rows.ts'

type Answer = { answer: 'accepted' | 'refused'; why: string }

/** Rows with another answer by Dormouse, and why. docs/operations/real-inputs.md has the same list. */
const DIFFERENCES: Record<string, { dormouse: Answer['answer']; why: string }> = {
  'RSA of 1024 bits': { dormouse: 'refused', why: 'OpenSSL takes no keys that are weaker than 112 bits' },
  'a root of RSA of 1024 bits': { dormouse: 'refused', why: 'the same' },
  'any extended key usage': { dormouse: 'refused', why: 'OpenSSL wants serverAuth by name, as RFC 5280 allows' },
  'key usage that only signs certificates': {
    dormouse: 'refused',
    why: 'OpenSSL obeys the key usage of a server, which Go does not look at',
  },
  'a root without basic constraints': {
    dormouse: 'accepted',
    why: 'its key usage says that it signs certificates, and an operator gave it as an anchor',
  },
  'a mark of the byte order': { dormouse: 'accepted', why: 'it is plain what was meant; Go looks at line starts only' },
  'indented, as in YAML': { dormouse: 'accepted', why: 'the same' },
  'ECDHE and CBC with SHA-256': {
    dormouse: 'accepted',
    why: 'Go has taken it off its list; whom is trusted is the same',
  },
  'no forward secrecy': { dormouse: 'accepted', why: 'the same' },
}

const SETTINGS: S3Settings = {
  ...bucketSettings,
  bucket: 'bucket',
  credentials: { accessKeyId: 'x', secretAccessKey: 'y' },
}

const test = suite('certificates as in Go')
const dns = process.getBuiltinModule('node:dns')
const { lookup } = dns
let folder: string
const servers: https.Server[] = []

test.before(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'dormouse-tls-'))
  const file = path.join(folder, 'system.pem')
  writeFileSync(file, system.certPem)
  // Read when a connection needs an authority of the system for the first time.
  process.env['SSL_CERT_FILE'] = file
  const [none, second] = [mkdtempSync(path.join(folder, 'none-')), mkdtempSync(path.join(folder, 'second-'))]
  writeFileSync(path.join(second, 'of-a-folder.crt'), systemFolder.certPem)
  process.env['SSL_CERT_DIR'] = `${none}:${second}`
  // All names of the rows resolve to this machine.
  dns.lookup = ((name: string, options: object, done: (...answer: unknown[]) => void) =>
    lookup(name.endsWith('.test') || name.endsWith('.test.') ? '127.0.0.1' : name, options, done as never)) as never
})
test.after(() => {
  dns.lookup = lookup
  for (const server of servers) server.close()
  for (const server of servers) server.closeAllConnections()
  rmSync(folder, { recursive: true })
})

/** Answers as a vCenter that is starting and as an S3 store without the object. */
async function listen({
  chain,
  host = HOST,
  ciphers = 'DEFAULT',
  versions = ['TLSv1.2', 'TLSv1.3'],
}: Row): Promise<number> {
  const server = https.createServer(
    {
      cert: chain.map(({ certPem }) => certPem).join(''),
      key: chain[0]!.keyPem,
      // The server may be as weak as possible: the client has to refuse.
      ciphers: `${ciphers}:@SECLEVEL=0`,
      minVersion: versions[0],
      maxVersion: versions[1],
    },
    (_, response) =>
      response.writeHead(404, { 'content-type': 'application/xml' }).end('<Error><Code>NoSuchKey</Code></Error>'),
  )
  servers.push(server)
  await new Promise<void>((resolve, reject) =>
    server.once('error', reject).listen(0, host === '::1' ? '::1' : '127.0.0.1', resolve),
  )
  return (server.address() as AddressInfo).port
}

async function answerOf(act: Promise<unknown>): Promise<Answer> {
  try {
    await act
    return { answer: 'accepted', why: '' }
  } catch (error) {
    if (!(error instanceof DormouseError)) throw error
    const isRefusal = /CertificateUntrusted|CaCertInvalid/.test(error.reason) || !/HTTP 404/.test(error.message)
    return { answer: isRefusal ? 'refused' : 'accepted', why: `${error.reason}: ${error.message}` }
  }
}

const authorityOf = (host: string, port: number) => `${host === '::1' ? '[::1]' : host}:${port}`

async function toStore({ host = HOST, ca }: Row, port: number): Promise<Answer> {
  const settings = { ...SETTINGS, url: `https://${authorityOf(host, port)}`, caCert: ca === '' ? undefined : ca }
  const store = createS3Store(settings, { retry: { attempts: 1 } })
  return await answerOf(store.get('config').finally(() => store.close()))
}

async function toVcenter({ host = HOST, ca }: Row, port: number): Promise<Answer> {
  const vcenter = { host, port, user: 'u', password: 'p', insecure: false, ...(ca === '' ? {} : { caPem: ca }) }
  const connection = new SoapConnection(vcenter)
  const call = { service: VIM, method: 'Ask', on: { type: 'Thing', id: 'thing-1' }, repeatable: true }
  return await answerOf(connection.call(call).finally(() => connection.close()))
}

async function compare(rows: Row[], only: boolean, dormouse: (row: Row, port: number) => Promise<Answer>) {
  const ports = await Promise.all(rows.map(listen))
  const asked = rows.map(
    ({ host = HOST, ca }, index): TlsRow => ({
      address: authorityOf(host === '::1' ? '::1' : '127.0.0.1', ports[index]!),
      host,
      ca,
      only: only && ca !== '',
    }),
  )
  const { SSL_CERT_FILE = '', SSL_CERT_DIR = '' } = process.env
  const go = await askTls(asked, { SSL_CERT_FILE, SSL_CERT_DIR })
  const results: { what: string; go: GoAnswer; dormouse: Answer }[] = []
  for (const [index, row] of rows.entries())
    results.push({ what: row.what, go: go[index]!, dormouse: await dormouse(row, ports[index]!) })
  return results
}

type Results = Awaited<ReturnType<typeof compare>>

function requireSame(results: Results): void {
  const differ = results.filter(({ go, dormouse }) => go.answer !== dormouse.answer)
  assert.equal(
    differ.filter(({ what }) => DIFFERENCES[what] === undefined),
    [],
  )
  for (const [what, { dormouse }] of Object.entries(DIFFERENCES))
    assert.is(differ.find((each) => each.what === what)?.dormouse.answer, dormouse, `no such difference: ${what}`)
}

/** An untrusted server must be reported as such, never as one that cannot be reached. */
function requireNamed(results: Results, reasons: RegExp): void {
  const unnamed = results.filter(({ dormouse }) => dormouse.answer === 'refused' && !reasons.test(dormouse.why))
  assert.equal(
    unnamed.filter(({ go }) => !/protocol version|handshake failure/.test(go.why ?? '')),
    [],
  )
}

test('to the store: the same servers are trusted, beside the authorities of the system', async () => {
  const results = await compare(
    ROWS.filter(({ only }) => only !== true),
    false,
    toStore,
  )
  requireSame(results)
  requireNamed(results, /^(S3CertificateUntrusted|S3CaCertInvalid):/)
})

test('to vCenter: the same servers are trusted, and a CA that is given is the only one', async () => {
  const results = await compare(ROWS, true, toVcenter)
  requireSame(results)
  requireNamed(results, /^VCenterCertificateUntrusted:/)
})

test.run()
