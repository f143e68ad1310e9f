import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { TerminalError } from '#shared/kernel/errors.ts'
import { CONFIG_KEYS, SPEC_FIELDS } from '#shared/repository/stores/s3/location-keys.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { stores } from '#test/support/stores.ts'

const test = suite('keys of a BackupStorageLocation')

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'
type Spec = { provider?: string; objectStorage?: object; config?: object; credential?: object } & Record<
  string,
  unknown
>

function fromLocation({ objectStorage = {}, ...spec }: Spec): Record<string, string> {
  const location: LooseObject = {
    apiVersion: 'velero.io/v1',
    kind: 'BackupStorageLocation',
    metadata: { name: 'default', namespace: 'velero' },
    spec: { provider: 'aws', objectStorage: { bucket: 'backups', ...objectStorage }, ...spec },
  }
  return stores.specOf(location).parameters
}
const PLAIN = { bucket: 'backups', backupStorageLocation: 'default' }

/** For each key: a value, and what it adds to the parameters. */
const FIELDS: Record<keyof typeof SPEC_FIELDS, [Spec, Record<string, string>]> = {
  provider: [{ provider: 'velero.io/aws' }, {}],
  'objectStorage.bucket': [{ objectStorage: { bucket: 'mine' } }, { bucket: 'mine' }],
  'objectStorage.prefix': [{ objectStorage: { prefix: '/équipe//x/' } }, { prefix: 'équipe//x' }],
  'objectStorage.caCert': [{ objectStorage: { caCert: Buffer.from(PEM).toString('base64') } }, { caCert: PEM }],
  'objectStorage.caCertRef': [{ objectStorage: { caCertRef: { name: 'a', key: 'b' } } }, { caCertSecret: 'a/b' }],
  credential: [{ credential: { name: 'a', key: 'b' } }, { credentialSecretName: 'a', credentialSecretKey: 'b' }],
  config: [{ config: { region: 'eu-west-1' } }, { region: 'eu-west-1' }],
  accessMode: [{ accessMode: 'ReadOnly' }, {}],
  backupSyncPeriod: [{ backupSyncPeriod: '0s' }, {}],
  default: [{ default: true }, {}],
  validationFrequency: [{ validationFrequency: '0s' }, {}],
}

const MOUNTED = { credentialSecretName: 'cloud-credentials', credentialSecretKey: 'cloud' }
const KEYS: Record<keyof typeof CONFIG_KEYS, [string, Record<string, string>]> = {
  region: ['eu-west-1', { region: 'eu-west-1' }],
  s3Url: ['https://store', { s3Url: 'https://store' }],
  s3ForcePathStyle: ['true', { s3ForcePathStyle: 'true' }],
  profile: ['backups', { profile: 'backups' }],
  credentialsFile: ['/credentials/cloud', MOUNTED],
  insecureSkipTLSVerify: ['true', { insecureSkipTLSVerify: 'true' }],
  caCert: [PEM, { caCert: PEM }],
  serverSideEncryption: ['AES256', { serverSideEncryption: 'AES256' }],
  kmsKeyId: ['alias/k', { kmsKeyId: 'alias/k' }],
  customerKeyEncryptionFile: ['/credentials/k', { customerKeyEncryptionSecret: 'cloud-credentials/k' }],
  customerKeyEncryptionSecret: ['a/b', { customerKeyEncryptionSecret: 'a/b' }],
  tagging: ['a=b', { tagging: 'a=b' }],
  checksumAlgorithm: ['', { checksumAlgorithm: '' }],
  bucket: ['other', {}],
  prefix: ['other', {}],
  publicUrl: ['https://elsewhere', {}],
  signatureVersion: ['1', {}],
  enableSharedConfig: ['true', {}],
}

for (const [field, [spec, added]] of Object.entries(FIELDS)) {
  test(`${field} of a location does what the table says`, () => {
    assert.equal(fromLocation(spec), { ...PLAIN, ...added })
  })
}

for (const [key, [value, added]] of Object.entries(KEYS)) {
  test(`${key} of a location's config does what the table says`, () => {
    assert.equal(fromLocation({ config: { [key]: value } }), { ...PLAIN, ...added })
    assert.is(CONFIG_KEYS[key as keyof typeof CONFIG_KEYS] === 'honoured', Object.keys(added).length > 0)
  })
}

const refused: [string, Spec][] = [
  ['provider', { provider: 'azure' }],
  ['zone', { config: { zone: 'a' } }],
  ['S3Url', { config: { S3Url: 'https://store' } }],
  ['credentialsFile', { config: { credentialsFile: '/tmp/keys' } }],
  ['customerKeyEncryptionFile', { config: { customerKeyEncryptionFile: '/tmp/key' } }],
  [
    'customerKeyEncryptionFile',
    { config: { customerKeyEncryptionFile: '/credentials/k', customerKeyEncryptionSecret: 'a/b' } },
  ],
  ['checksumAlgorithm', { config: { checksumAlgorithm: 'XXHASH64' } }],
]

for (const [key, spec] of refused) {
  test(`what cannot be followed is refused by name: ${JSON.stringify(spec)}`, () => {
    assert.throws(
      () => fromLocation(spec),
      (error: unknown) =>
        error instanceof TerminalError &&
        error.reason === 'RepositoryParametersInvalid' &&
        error.message.startsWith(`repository parameter ${key}: `),
    )
  })
}

test("a credential and an objectStorage's CA come before what the config says", () => {
  const own = { credential: { name: 'a', key: 'b' }, config: { credentialsFile: '/tmp/keys', caCert: 'nonsense' } }
  assert.equal(fromLocation({ ...own, objectStorage: { caCertRef: { name: 'c', key: 'd' } } }), {
    ...PLAIN,
    caCertSecret: 'c/d',
    credentialSecretName: 'a',
    credentialSecretKey: 'b',
  })
})

test('the tables of locations.md are those of the code', () => {
  const page = readFileSync('docs/operations/locations.md', 'utf8')
  const rows = [...page.matchAll(/^\| `([\w.]+)` \| (honoured|not applicable) \|/gm)].map(([, key, fate]) => [
    key,
    fate,
  ])
  assert.equal(rows, [...Object.entries(SPEC_FIELDS), ...Object.entries(CONFIG_KEYS)])
})

test.run()
