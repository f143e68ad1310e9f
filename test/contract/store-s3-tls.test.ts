// The S3 store over TLS: with a private authority, with none, with a wrong one, and with a broken bundle.

import { randomBytes } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { collectSecrets } from '#shared/domain/repository-secrets.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import { parametersFromLocation, parseS3Parameters, referencesOf } from '#shared/repository/stores/s3/parameters.ts'
import { toS3Settings } from '#shared/repository/stores/s3/secrets.ts'
import type { S3Settings } from '#shared/repository/stores/s3/settings.ts'
import { createS3Store } from '#shared/repository/stores/s3/store.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { Authority } from '../environment/kubernetes/certificates.ts'
import { rejects } from './cluster-rejects.ts'
import { issue } from './go-certificates.ts'
import { type Gateway, listen, settingsFor, startGateway } from './store-s3-support.ts'

const test = suite('S3 store over TLS')
let gateway: Gateway
const store = (change: Partial<S3Settings> = {}) =>
  createS3Store(settingsFor(gateway.s3, change), { retry: { attempts: 2, firstDelayMs: 1 } })

test.before(async () => {
  gateway = await startGateway(true)
})
test.after(async () => {
  await gateway.stop()
})

test("the location's CA bundle is trusted, also as one of several", async () => {
  for (const caCert of [gateway.s3.caPem!, `${new Authority('another').certPem}\n${gateway.s3.caPem}`]) {
    const trusting = store({ caCert })
    const body = randomBytes(5 * MiB)
    assert.ok(await trusting.putIfAbsent('pack', body))
    assert.is(Buffer.compare((await trusting.get('pack'))!, body), 0)
    assert.is((await trusting.getRange('pack', 3 * MiB, 3 * MiB))!.length, 2 * MiB)
    for await (const { bytes } of trusting.list('')) assert.is(bytes, body.length)
  }
})

test('a location with region, bucket, prefix, URL, path style, private CA and profile is a store (row 43)', async () => {
  const { s3 } = gateway
  const location: LooseObject = {
    apiVersion: 'velero.io/v1',
    kind: 'BackupStorageLocation',
    metadata: { name: 'default', namespace: 'velero' },
    spec: {
      provider: 'aws',
      objectStorage: { bucket: s3.bucket, prefix: '/one/two/', caCert: Buffer.from(s3.caPem!).toString('base64') },
      credential: { name: 'bsl', key: 'cloud' },
      config: { region: s3.region, s3Url: `${s3.url}/`, s3ForcePathStyle: 'true', profile: 'backups' },
    },
  }
  const file = `[default]\naws_access_key_id=x\naws_secret_access_key=y\n${s3.credentialsText().replace('default', 'backups')}`
  const data = { cloud: Buffer.from(file).toString('base64') }
  const secret: LooseObject = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'bsl' }, data }
  const settings = parseS3Parameters(parametersFromLocation(location))
  const secrets = await collectSecrets(referencesOf(settings), async () => secret)
  const located = createS3Store(toS3Settings(settings, secrets))
  assert.ok(await located.putIfAbsent('config', Buffer.from('x')))
  assert.equal(await s3.objects('one/'), [{ key: 'one/two/plugins/dormouse/config', bytes: 1 }])
})

test('a refusal that comes before the whole body was sent is read', async () => {
  const hasty = createS3Store(settingsFor(gateway.s3), { retry: { attempts: 1 } })
  const body = randomBytes(16 * MiB)
  assert.is(await hasty.putIfAbsent('pack', body), true)
  for (let time = 0; time < 10; time++) assert.is(await hasty.putIfAbsent('pack', body), false)
})

test('an untrusted certificate ends the call at once and names the fix', async () => {
  for (const caCert of [undefined, new Authority('another').certPem]) {
    const error = await rejects(store({ caCert }).get('config'), TerminalError, 'S3CertificateUntrusted')
    assert.match(error.message, 'caCert')
  }
})

test('a certificate for another name is not trusted', async () => {
  const { certPem, keyPem } = gateway.authority.serverCertificate(['store.example'])
  const other = https.createServer({ cert: certPem, key: keyPem }, (_, response) => response.end())
  const url = `https://127.0.0.1:${await listen(other)}`
  await rejects(store({ url }).get('config'), TerminalError, 'S3CertificateUntrusted')
  other.close()
})

test('only insecureSkipTLSVerify skips the check', async () => {
  const careless = store({ caCert: undefined, insecureSkipTlsVerify: true })
  assert.ok(await careless.putIfAbsent('config', Buffer.from('x')))
})

test('a text that is no CA bundle is reported as such', async () => {
  const broken = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'
  await rejects(store({ caCert: broken }).get('config'), TerminalError, 'S3CaCertInvalid')
})

test('TLS to a port without TLS is reported as that', async () => {
  const plain = http.createServer((_, response) => response.end())
  const url = `https://127.0.0.1:${await listen(plain)}`
  const error = await rejects(store({ url }).get('config'), RetryableError, 'S3Unavailable')
  assert.match(error.message, 'does not speak TLS')
  plain.closeAllConnections()
  plain.close()
})

test("an issuing CA's certificate, or the store's own, is an anchor as it is for Velero", async () => {
  const root = issue({ name: 'root', ca: true })
  const middle = issue({ name: 'issuing', ca: true, by: root })
  const leaf = issue({ name: 'store', by: middle, names: ['127.0.0.1'] })
  const server = https.createServer({ cert: leaf.certPem + middle.certPem, key: leaf.keyPem }, (_, response) =>
    response.writeHead(404, { 'content-type': 'application/xml' }).end('<Error><Code>NoSuchKey</Code></Error>'),
  )
  const url = `https://127.0.0.1:${await listen(server)}`
  for (const caCert of [root.certPem, middle.certPem, leaf.certPem])
    assert.is(await store({ url, caCert }).get('config'), undefined)
  server.closeAllConnections()
  server.close()
})

test('one unreadable certificate of a bundle does not spoil the others, and is reported when none of them is trusted', async () => {
  const broken = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'
  assert.is(await store({ caCert: `${broken}${gateway.s3.caPem}` }).get('none'), undefined)
  const caCert = `${new Authority('another').certPem}${broken}`
  const error = await rejects(store({ caCert }).get('config'), TerminalError, 'S3CaCertInvalid')
  assert.match(error.message, 'certificate 2 of the CA bundle')
})

test.run()
