import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { collectSecrets, parseRepositoryKey, requireOneRecovery } from '#shared/domain/repository-secrets.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { parametersFromLocation, parseS3Parameters, referencesOf } from '#shared/repository/stores/s3/parameters.ts'
import { credentialOrigin, toS3Settings } from '#shared/repository/stores/s3/secrets.ts'
import type { S3Settings } from '#shared/repository/stores/s3/settings.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { stores } from '#test/support/stores.ts'

const test = suite('repository parameters')

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'
const base64 = (text: string) => Buffer.from(text).toString('base64')
const FILE =
  '[default]\naws_access_key_id=AKID\naws_secret_access_key=s3cr3t\n[backups]\naws_access_key_id=B\naws_secret_access_key=b\n'

type Spec = { config?: object; objectStorage?: object; credential?: object; provider?: string }

function aLocation({
  config = {},
  objectStorage = {},
  credential,
  provider = 'velero.io/aws',
}: Spec = {}): LooseObject {
  return {
    apiVersion: 'velero.io/v1',
    kind: 'BackupStorageLocation',
    metadata: { name: 'default', namespace: 'velero' },
    spec: { provider, config, objectStorage: { bucket: 'backups', ...objectStorage }, credential },
  }
}

function aSecret(data: Record<string, string>): LooseObject {
  const encoded = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, base64(value)]))
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'velero' }, data: encoded }
}

const invalid = (key: string, words: string) => (error: TerminalError) => {
  assert.instance(error, TerminalError)
  assert.is(error.reason, 'RepositoryParametersInvalid')
  assert.match(error.message, `repository parameter ${key}:`)
  assert.match(error.message, words)
  return true
}

const full = aLocation({
  config: {
    region: 'eu-west-1',
    s3Url: 'https://store.example:9000/',
    s3ForcePathStyle: 'true',
    profile: 'backups',
    insecureSkipTLSVerify: 'false',
    kmsKeyId: 'alias/key',
    tagging: 'a=b&c=d',
    publicUrl: 'https://elsewhere',
    checksumAlgorithm: '',
  },
  objectStorage: { prefix: '/velero/one/', caCert: base64(PEM), caCertRef: { name: 'ca', key: 'ca.crt' } },
  credential: { name: 'bsl-one', key: 'cloud' },
})

test('everything of a location that concerns a repository is in the map, and nothing else', () => {
  assert.equal(parametersFromLocation(full, 'my-key'), {
    region: 'eu-west-1',
    bucket: 'backups',
    prefix: 'velero/one',
    s3Url: 'https://store.example:9000/',
    s3ForcePathStyle: 'true',
    profile: 'backups',
    caCert: PEM,
    caCertSecret: 'ca/ca.crt',
    credentialSecretName: 'bsl-one',
    credentialSecretKey: 'cloud',
    insecureSkipTLSVerify: 'false',
    kmsKeyId: 'alias/key',
    tagging: 'a=b&c=d',
    checksumAlgorithm: '',
    encryptionSecretName: 'my-key',
    backupStorageLocation: 'default',
  })
})

test('equal locations make equal maps, and a small location a small one', () => {
  assert.is(JSON.stringify(parametersFromLocation(full)), JSON.stringify(parametersFromLocation(structuredClone(full))))
  assert.equal(parametersFromLocation(aLocation()), { bucket: 'backups', backupStorageLocation: 'default' })
})

test('a map is read back as settings', () => {
  assert.equal(parseS3Parameters(parametersFromLocation(full, 'my-key')), {
    bucket: 'backups',
    prefix: 'velero/one',
    region: 'eu-west-1',
    regionNamed: true,
    url: 'https://store.example:9000',
    forcePathStyle: true,
    profile: 'backups',
    caCert: PEM,
    caCertSecret: { name: 'ca', key: 'ca.crt' },
    insecureSkipTlsVerify: false,
    credentialSecret: { name: 'bsl-one', key: 'cloud' },
    credentialSecretNamed: true,
    serverSideEncryption: 'aws:kms',
    kmsKeyId: 'alias/key',
    customerKeySecret: undefined,
    tagging: 'a=b&c=d',
    checksumAlgorithm: 'none',
    encryptionSecretName: 'my-key',
    location: 'default',
    plaintextCredentials: false,
    inlineCredentials: undefined,
    unknownKeys: [],
  })
})

test('what is left out has its default', () => {
  const settings = parseS3Parameters({ bucket: 'backups', region: '' })
  assert.is(settings.region, 'us-east-1')
  assert.is(parseS3Parameters({ bucket: 'backups', region: 'Lab', s3Url: 'https://store' }).region, 'Lab')
  assert.is(settings.profile, 'default')
  assert.is(settings.prefix, '')
  assert.is(settings.url, undefined)
  assert.equal(settings.credentialSecret, { name: 'cloud-credentials', key: undefined })
  assert.not(settings.credentialSecretNamed)
  assert.is(settings.encryptionSecretName, 'dormouse-repository-key')
})

test("the Velero Plugin for vSphere's map is read, its plain keys are flagged and used, its unknown keys are reported", () => {
  const settings = parseS3Parameters({
    region: 'minio',
    bucket: 'velero',
    s3ForcePathStyle: 'true',
    s3Url: 'http://minio.velero:9000',
    profile: '',
    aws_access_key_id: 'AKID',
    aws_secret_access_key: 's3cr3t',
    zzz: '1',
    aaa: '2',
  })
  assert.ok(settings.plaintextCredentials)
  assert.equal(settings.unknownKeys, ['aaa', 'zzz'])
  const s3 = toS3Settings(settings, new Map())
  assert.equal(s3.credentials, { accessKeyId: 'AKID', secretAccessKey: 's3cr3t' })
  assert.not.match(credentialOrigin(settings), /AKID|s3cr3t/)
})

const bad: [string, Record<string, string>, string][] = [
  ['bucket', { bucket: '' }, 'it is missing'],
  ['bucket', { bucket: 'a/b' }, 'prefix'],
  ['prefix', { prefix: '../b' }, 'without ".."'],
  ['prefix', { prefix: 'a/../../plugins' }, 'without ".."'],
  ['prefix', { prefix: 'a\nb' }, 'control character'],
  ['prefix', { prefix: 'a\u0000b' }, 'control character'],
  ['prefix', { prefix: 'a\u0085b' }, 'control character'],
  ['prefix', { prefix: 'a\ufffdb' }, 'control character'],
  ['prefix', { prefix: 'a\ud800b' }, 'half of a letter'],
  ['prefix', { prefix: 'é'.repeat(257) }, '514 bytes'],
  ['region', { region: 'us_east' }, 'letters, digits and hyphens'],
  ['region', { region: 'eu west' }, 'letters, digits and hyphens'],
  ['region', { region: 'eu/west' }, 'letters, digits and hyphens'],
  ['region', { region: '-eu' }, 'letters, digits and hyphens'],
  ['region', { region: 'e'.repeat(64) }, 'letters, digits and hyphens'],
  ['region', { region: 'EU-WEST-1' }, 'small letters'],
  ['s3Url', { s3Url: 'store.example:9000' }, 'https://host'],
  ['s3Url', { s3Url: 'https://user:hidden@store' }, 'holds credentials'],
  ['s3Url', { s3Url: 'https://store/?a=b' }, 'query'],
  ['s3ForcePathStyle', { s3ForcePathStyle: 'yes' }, '"true" or "false"'],
  ['insecureSkipTLSVerify', { insecureSkipTLSVerify: 'on' }, '"true" or "false"'],
  ['serverSideEncryption', { serverSideEncryption: 'aes' }, 'AES256 or aws:kms'],
  ['customerKeyEncryptionSecret', { customerKeyEncryptionSecret: 'only-a-name' }, '<name of the Secret>/<key in it>'],
  ['customerKeyEncryptionSecret', { customerKeyEncryptionSecret: 's/k', kmsKeyId: 'x' }, 'keep one'],
  ['customerKeyEncryptionSecret', { customerKeyEncryptionSecret: 's/k', s3Url: 'http://store' }, 'https://'],
  ['tagging', { tagging: 'a' }, 'key=value'],
  ['checksumAlgorithm', { checksumAlgorithm: 'crc32' }, 'CRC32, CRC32C'],
  ['checksumAlgorithm', { checksumAlgorithm: ' ' }, '"" for none'],
  ['tagging', { tagging: Array.from({ length: 11 }, (_, index) => `k${index}=v`).join('&') }, 'at most ten'],
  ['caCert', { caCert: 'nonsense' }, 'PEM'],
  ['aws_secret_access_key', { aws_access_key_id: 'AKID' }, 'other half'],
]

for (const [key, change, words] of bad) {
  test(`${JSON.stringify(change).slice(0, 60)} is refused, with what to write instead`, () => {
    assert.throws(
      () => parseS3Parameters({ bucket: 'backups', ...change }),
      (error: TerminalError) => invalid(key, words)(error) && !/hidden|AKID/.test(error.message),
    )
  })
}

const prefixes: [string, string][] = [
  ['équipe/x', 'équipe/x'],
  ['team//x', 'team/x'],
  ['///team/./x///', 'team/x'],
  ['/', ''],
  ['e\u0301quipe', 'e\u0301quipe'],
  ['日本/😀', '日本/😀'],
  [' a b ', ' a b '],
  ['a+b&c=d', 'a+b&c=d'],
  ['100%/%2F', '100%/%2F'],
  ['a?b#c', 'a?b#c'],
  ['...', '...'],
  ['a\\b"<c>|`^{}[]~', 'a\\b"<c>|`^{}[]~'],
  ['é'.repeat(256), 'é'.repeat(256)],
]

for (const [given, wanted] of prefixes) {
  test(`the prefix ${JSON.stringify(given.slice(0, 40))} leads where Velero's own objects are`, () => {
    const { prefix } = parseS3Parameters(parametersFromLocation(aLocation({ objectStorage: { prefix: given } })))
    assert.is(prefix, wanted)
  })
}

test("a bucket's name counts without slashes around it, as for Velero", () => {
  assert.is(parseS3Parameters({ bucket: '/backups/' }).bucket, 'backups')
})

test('truth values are those of Velero', () => {
  for (const yes of ['true', 'True', '1', 't']) {
    assert.ok(parseS3Parameters({ bucket: 'backups', s3ForcePathStyle: yes }).forcePathStyle)
  }
  for (const no of ['false', 'FALSE', '0', 'f', '']) {
    assert.not(parseS3Parameters({ bucket: 'backups', s3ForcePathStyle: no }).forcePathStyle)
  }
})

test('a location of another provider, and one with a wrong value, make no map', () => {
  assert.throws(() => stores.specOf(aLocation({ provider: 'azure' })), invalid('provider', 'azure'))
  assert.throws(
    () => parametersFromLocation(aLocation({ objectStorage: { bucket: undefined } })),
    invalid('bucket', 'missing'),
  )
})

test("a customer key file is found in Velero's Secret when it is mounted from there, otherwise refused", () => {
  const from = (customerKeyEncryptionFile: string) =>
    parametersFromLocation(aLocation({ config: { customerKeyEncryptionFile } }))
  assert.is(from('/credentials/customer-key')['customerKeyEncryptionSecret'], 'cloud-credentials/customer-key')
  assert.throws(() => from('/etc/key'), invalid('customerKeyEncryptionFile', 'customerKeyEncryptionSecret'))
})

test('Secrets become settings: profile, CA and customer key', async () => {
  const settings = parseS3Parameters({
    bucket: 'backups',
    profile: 'backups',
    caCert: PEM,
    caCertSecret: 'ca/ca.crt',
    credentialSecretName: 'bsl',
    customerKeyEncryptionSecret: 'bsl/key',
  })
  const secrets: Record<string, LooseObject> = {
    bsl: aSecret({ other: 'x', cloud: FILE, key: 'k'.repeat(32) }),
    ca: aSecret({ 'ca.crt': PEM }),
  }
  const s3: S3Settings = toS3Settings(
    settings,
    await collectSecrets(referencesOf(settings), async (name) => secrets[name]),
  )
  assert.equal(s3.credentials, { accessKeyId: 'B', secretAccessKey: 'b' })
  assert.is(s3.caCert?.match(/BEGIN/g)?.length, 2)
  assert.is(s3.customerKey, base64('k'.repeat(32)))
})

test('a customer key is 32 bytes or their base64, and a newline after it is forgiven', async () => {
  const settings = parseS3Parameters({ bucket: 'backups', customerKeyEncryptionSecret: 's/k' })
  const keyOf = (text: string) =>
    toS3Settings(settings, new Map([['customerKeyEncryptionSecret', Buffer.from(text)]])).customerKey
  const key = 'k'.repeat(32)
  for (const text of [key, `${key}\n`, base64(key), `${base64(key)}\n`]) assert.is(keyOf(text), base64(key))
  for (const text of ['', 'short', 'k'.repeat(33)]) {
    assert.throws(
      () => keyOf(text),
      (error: unknown) => error instanceof TerminalError && !error.message.includes('kkk'),
    )
  }
})

test('an absent default Secret means the SDK chain, an absent named one is worth a retry', async () => {
  const absent = async () => undefined
  const chain = parseS3Parameters({ bucket: 'backups' })
  const secrets = await collectSecrets(referencesOf(chain), absent)
  assert.is(toS3Settings(chain, secrets).credentials, undefined)
  const named = parseS3Parameters({ bucket: 'backups', credentialSecretName: 'bsl', credentialSecretKey: 'x' })
  for (const read of [absent, async () => aSecret({ cloud: FILE })]) {
    const error = (await collectSecrets(referencesOf(named), read).catch((thrown: unknown) => thrown)) as RetryableError
    assert.instance(error, RetryableError)
    assert.is(error.reason, 'SecretMissing')
  }
})

test("a profile's region counts where the location names none, and its address is refused, not followed", () => {
  const s3Of = (parameters: object, more: string) =>
    toS3Settings(
      parseS3Parameters({ bucket: 'backups', ...parameters }),
      new Map([['credentialSecretName', Buffer.from(`${FILE.split('[backups]')[0]}${more}\n`)]]),
    )
  assert.is(s3Of({}, 'region = eu-west-1').region, 'eu-west-1')
  assert.is(s3Of({ region: 'us-west-2' }, 'region = eu-west-1').region, 'us-west-2')
  assert.is(s3Of({}, '').region, 'us-east-1')
  assert.is(s3Of({ s3Url: 'https://store' }, 'endpoint_url = https://elsewhere').url, 'https://store')
  for (const more of ['endpoint_url = https://elsewhere', 'services = mine', 'region = us_east']) {
    assert.throws(
      () => s3Of({}, more),
      (error: unknown) => error instanceof TerminalError && error.reason === 'CredentialsInvalid',
    )
  }
})

test("the Secret's first key is read when it has no key named cloud", async () => {
  const settings = parseS3Parameters({ bucket: 'backups' })
  const secrets = await collectSecrets(referencesOf(settings), async () => aSecret({ creds: FILE }))
  assert.equal(toS3Settings(settings, secrets).credentials, { accessKeyId: 'AKID', secretAccessKey: 's3cr3t' })
})

test('the repository key is read with its recovery, and never made up', () => {
  const key = (data: Record<string, string>) => parseRepositoryKey(aSecret(data), 'dormouse-repository-key')
  assert.equal(key({ password: 'pw\n' }), { password: 'pw', recovery: undefined })
  assert.equal(key({ password: 'pw', 'recovery-passphrase': 'words \n' }).recovery, {
    kind: 'passphrase',
    passphrase: 'words ',
  })
  assert.is(key({ password: 'pw', 'recovery-public-key': 'PEM' }).recovery?.kind, 'publicKey')
  const both = key({ password: 'pw', 'recovery-passphrase': 'words', 'recovery-public-key': 'PEM' })
  assert.throws(
    () => requireOneRecovery(both, 'k'),
    (error: Error) => error instanceof RetryableError && error.reason === 'RecoveryKeyInvalid',
  )
  requireOneRecovery(key({ password: 'pw', 'recovery-public-key': 'PEM' }), 'k')
  for (const secret of [undefined, aSecret({}), aSecret({ password: '\n' })]) {
    assert.throws(
      () => parseRepositoryKey(secret, 'k'),
      (error: unknown) => {
        return error instanceof RetryableError && error.reason === 'RepositoryKeyMissing'
      },
    )
  }
})

test.run()
