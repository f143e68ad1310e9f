// A Secret serves the purpose that it was named for and no other, whichever parameter refers to it.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { collectSecrets, parseRepositoryKey } from '#shared/domain/repository-secrets.ts'
import { requireVSphereSecret } from '#shared/domain/secret-purposes.ts'
import { type DormouseError, TerminalError } from '#shared/kernel/errors.ts'
import { parametersFromLocation, parseS3Parameters, referencesOf } from '#shared/repository/stores/s3/parameters.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const test = suite('what a Secret is for')

const base64 = (text: string) => Buffer.from(text).toString('base64')
const FILE = '[default]\naws_access_key_id=a\naws_secret_access_key=b\n'
/** A password made as in install.md, which could pass for an SSE-C key. */
const PASSWORD = Buffer.alloc(32, 7).toString('base64')
const KEY = { password: PASSWORD, 'recovery-passphrase': 'words' }

function aSecret(data: Record<string, string>): LooseObject {
  const encoded = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, base64(value)]))
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'velero' }, data: encoded }
}

const refused = (parameter: string) => (error: DormouseError) => {
  assert.instance(error, TerminalError)
  assert.is(error.reason, 'RepositoryParametersInvalid')
  assert.match(error.message, `repository parameter ${parameter}:`)
  assert.match(error.message, /put|name/, 'it says what to do')
  assert.not.match(error.message, PASSWORD)
  return true
}

const REPOSITORY_KEYS = ['dormouse-repository-key', 'my-key']
/** Each parameter whose Secret's content goes to the store's client. */
const STORE: [parameter: string, of: (name: string, key: string) => Record<string, string>][] = [
  ['credentialSecretName', (name, key) => ({ credentialSecretName: name, credentialSecretKey: key })],
  ['caCertSecret', (name, key) => ({ caCertSecret: `${name}/${key}` })],
  ['customerKeyEncryptionSecret', (name, key) => ({ customerKeyEncryptionSecret: `${name}/${key}` })],
]
const parse = (parameters: Record<string, string>) => parseS3Parameters({ bucket: 'backups', ...parameters })

for (const [parameter, of] of STORE) {
  test(`${parameter} never leads to a repository's key, by name or by key`, () => {
    for (const name of REPOSITORY_KEYS) {
      for (const key of ['password', 'anything', 'cloud'])
        assert.throws(() => parse({ encryptionSecretName: 'my-key', ...of(name, key) }), refused(parameter))
    }
    for (const key of ['password', 'recovery-passphrase', 'recovery-public-key'])
      assert.throws(() => parse(of('of-another-repository', key)), refused(parameter))
  })

  test(`${parameter} never leads to the vSphere configuration`, () => {
    assert.throws(() => parse(of('velero-vsphere-config-secret', 'anything')), refused(parameter))
    for (const key of ['csi-vsphere.conf', 'my.conf']) assert.throws(() => parse(of('s', key)), refused(parameter))
  })

  test(`${parameter} is refused because of the Secret's other keys, when its own name does not show its purpose`, async () => {
    const inlined = { aws_access_key_id: 'a', aws_secret_access_key: 'b' }
    const settings = parse({ ...(parameter === 'credentialSecretName' ? {} : inlined), ...of('s', 'x') })
    for (const beside of ['recovery-passphrase', 'recovery-public-key', 'csi-vsphere.conf']) {
      const secret = aSecret({ x: PASSWORD, [beside]: 'y' })
      const error = await collectSecrets(referencesOf(settings), async () => secret).catch((thrown: unknown) => thrown)
      assert.ok(refused(parameter)(error as DormouseError))
    }
  })
}

test('without a key named, the first one of a Secret is not taken when it is a password', async () => {
  const settings = parse({ credentialSecretName: 's' })
  const error = await collectSecrets(referencesOf(settings), async () => aSecret({ password: FILE })).catch(
    (thrown) => thrown,
  )
  assert.ok(refused('credentialSecretName')(error))
})

test('a customer key file leads to no key either', () => {
  const location = (file: string): LooseObject => ({
    apiVersion: 'velero.io/v1',
    kind: 'BackupStorageLocation',
    metadata: { name: 'default', namespace: 'velero' },
    spec: { provider: 'aws', objectStorage: { bucket: 'backups' }, config: { customerKeyEncryptionFile: file } },
  })
  for (const file of ['/credentials/password', '/credentials/recovery-passphrase', '/credentials/cloud'])
    assert.throws(() => parametersFromLocation(location(file)), refused('customerKeyEncryptionSecret'))
  assert.is(
    parametersFromLocation(location('/credentials/sse-c'))['customerKeyEncryptionSecret'],
    'cloud-credentials/sse-c',
  )
})

test('one value of a Secret serves one purpose', () => {
  const both = { customerKeyEncryptionSecret: 's/x', caCertSecret: 's/x' }
  assert.throws(() => parse(both), refused('customerKeyEncryptionSecret'))
  assert.throws(() => parse({ credentialSecretName: 's', caCertSecret: 's/cloud' }), refused('caCertSecret'))
  assert.is(parse({ credentialSecretName: 's', caCertSecret: 's/ca.crt' }).caCertSecret?.name, 's')
})

test("the repository's key is in no Secret of another purpose", () => {
  for (const name of ['cloud-credentials', 'velero-vsphere-config-secret'])
    assert.throws(() => parse({ encryptionSecretName: name }), refused('encryptionSecretName'))
  const wrong = () => parseRepositoryKey(aSecret({ password: 'x', 'csi-vsphere.conf': 'y' }), 'my-key')
  assert.throws(wrong, refused('encryptionSecretName'))
  assert.is(parseRepositoryKey(aSecret(KEY), 'dormouse-repository-key').password, PASSWORD)
})

test('the vSphere configuration is in no Secret of another purpose', () => {
  const cases: [string, Record<string, string>][] = [
    ['dormouse-repository-key', { password: 'x' }],
    ['cloud-credentials', { cloud: 'x' }],
    ['mine', { 'recovery-passphrase': 'x', password: 'y' }],
    ['mine', { password: 'y' }],
  ]
  for (const [name, data] of cases) {
    const wrong = (error: DormouseError) => error.reason === 'VSphereConfigInvalid' && error.message.includes(name)
    assert.throws(() => requireVSphereSecret(name, data), wrong)
  }
  requireVSphereSecret('velero-vsphere-config-secret', { 'csi-vsphere.conf': 'x' })
  requireVSphereSecret('mine', { anything: 'x' })
})

test.run()
