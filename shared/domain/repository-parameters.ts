// `repopsitoryParameters` (sic, the peer's wire name): a Velero BackupStorageLocation as a map of strings, and back into
// settings. The map names Secrets and never holds what is in them. Keys of the location: velero-plugin-for-aws,
// backupstoragelocation.md; velero.io/v1 BackupStorageLocation.

import type { KubeObject } from '#shared/api/kinds.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { AwsCredentials } from './aws-credentials.ts'

/** One value of a Secret in the Velero namespace. No key: `cloud` when there is one, else the first (as the peer reads it). */
export type SecretRef = { name: string; key: string | undefined }

export type RepositorySettings = {
  bucket: string
  /** Without slashes at its ends; '' is none. */
  prefix: string
  region: string
  url: string | undefined
  forcePathStyle: boolean
  profile: string
  caCert: string | undefined
  caCertSecret: SecretRef | undefined
  insecureSkipTlsVerify: boolean
  credentialSecret: SecretRef
  /** The location or the map names that Secret; otherwise it is Velero's default one, and may be absent (IRSA, instance role). */
  credentialSecretNamed: boolean
  serverSideEncryption: 'AES256' | 'aws:kms' | undefined
  kmsKeyId: string | undefined
  customerKeySecret: SecretRef | undefined
  tagging: string | undefined
  encryptionSecretName: string
  /** The map was made by the peer and holds its keys as plain text (condition `PlaintextCredentials`). */
  plaintextCredentials: boolean
  /** Those keys; used when no Secret is named. */
  inlineCredentials: AwsCredentials | undefined
  /** Keys that mean nothing to Dormouse, sorted: worth a warning, never fatal. */
  unknownKeys: string[]
}

export const DEFAULT_CREDENTIAL_SECRET = 'cloud-credentials'
export const DEFAULT_ENCRYPTION_SECRET = 'dormouse-repository-key'
const DEFAULT_REGION = 'us-east-1'

const KNOWN_KEYS = [
  'region',
  'bucket',
  'prefix',
  's3Url',
  's3ForcePathStyle',
  'profile',
  'caCert',
  'caCertSecret',
  'credentialSecretName',
  'credentialSecretKey',
  'insecureSkipTLSVerify',
  'serverSideEncryption',
  'kmsKeyId',
  'customerKeyEncryptionSecret',
  'tagging',
  'encryptionSecretName',
  'aws_access_key_id',
  'aws_secret_access_key',
] as const
type Parameters = Record<string, string | undefined>

/** Config keys that say the same in a location and in the map. */
const COPIED = [
  'region',
  's3Url',
  's3ForcePathStyle',
  'profile',
  'insecureSkipTLSVerify',
  'serverSideEncryption',
  'kmsKeyId',
  'tagging',
] as const

/**
 * The map for a BackupStorageLocation: only what is set, in a fixed order, so that equal locations make equal maps.
 * TerminalError `RepositoryParametersInvalid` for a location that no repository can be made from.
 */
export function parametersFromLocation(location: KubeObject, encryptionSecretName?: string): Record<string, string> {
  const name = `BackupStorageLocation ${location.metadata.namespace ?? ''}/${location.metadata.name}`
  const { provider, config = {}, objectStorage = {}, credential } = location['spec'] ?? {}
  if (!/^(velero\.io\/)?aws$/.test(String(provider))) {
    throw invalid(
      'provider',
      `${name} has the provider ${JSON.stringify(provider)}; backups of volumes go to "aws" (any S3 store)`,
    )
  }
  const found: Parameters = Object.fromEntries(COPIED.map((key) => [key, config[key]]))
  found['bucket'] = objectStorage.bucket
  found['prefix'] = trimSlashes(objectStorage.prefix ?? '')
  found['caCert'] = objectStorage.caCert === undefined ? undefined : decodeCaCert(String(objectStorage.caCert))
  found['caCertSecret'] = refText(objectStorage.caCertRef)
  found['credentialSecretName'] = credential?.name
  found['credentialSecretKey'] = credential?.key
  found['customerKeyEncryptionSecret'] =
    config.customerKeyEncryptionSecret ?? secretOfMountedFile(config.customerKeyEncryptionFile)
  found['encryptionSecretName'] = encryptionSecretName
  const parameters = Object.fromEntries(
    KNOWN_KEYS.flatMap((key) => (isSet(found[key]) ? [[key, String(found[key])] as const] : [])),
  )
  parseRepositoryParameters(parameters)
  return parameters
}

/** Reads a map of ours or of the peer. TerminalError `RepositoryParametersInvalid` names the key and what to write there. */
export function parseRepositoryParameters(parameters: Parameters): RepositorySettings {
  const settings: RepositorySettings = {
    bucket: bucketOf(parameters),
    prefix: prefixOf(parameters),
    region: read(parameters, 'region') ?? DEFAULT_REGION,
    url: urlOf(parameters),
    forcePathStyle: booleanOf(parameters, 's3ForcePathStyle'),
    profile: read(parameters, 'profile') ?? 'default',
    caCert: isSet(parameters['caCert']) ? decodeCaCert(String(parameters['caCert'])) : undefined,
    caCertSecret: refOf(parameters, 'caCertSecret'),
    insecureSkipTlsVerify: booleanOf(parameters, 'insecureSkipTLSVerify'),
    credentialSecret: {
      name: read(parameters, 'credentialSecretName') ?? DEFAULT_CREDENTIAL_SECRET,
      key: read(parameters, 'credentialSecretKey'),
    },
    credentialSecretNamed: isSet(parameters['credentialSecretName']),
    serverSideEncryption: encryptionOf(parameters),
    kmsKeyId: read(parameters, 'kmsKeyId'),
    customerKeySecret: refOf(parameters, 'customerKeyEncryptionSecret'),
    tagging: taggingOf(parameters),
    encryptionSecretName: read(parameters, 'encryptionSecretName') ?? DEFAULT_ENCRYPTION_SECRET,
    plaintextCredentials: isSet(parameters['aws_access_key_id']) || isSet(parameters['aws_secret_access_key']),
    inlineCredentials: inlineOf(parameters),
    unknownKeys: Object.keys(parameters)
      .filter((key) => !(KNOWN_KEYS as readonly string[]).includes(key))
      .sort(),
  }
  checkTogether(settings)
  return settings
}

/** What is right key by key and still cannot go together. */
function checkTogether(settings: RepositorySettings): void {
  if (settings.customerKeySecret === undefined) return
  if (settings.serverSideEncryption !== undefined) {
    throw invalid('customerKeyEncryptionSecret', 'it excludes serverSideEncryption and kmsKeyId: keep one of them')
  }
  if (settings.url?.startsWith('http:') === true) {
    throw invalid('customerKeyEncryptionSecret', 'the key would cross the network readably: use https:// in s3Url')
  }
}

function bucketOf(parameters: Parameters): string {
  const bucket = read(parameters, 'bucket')
  if (bucket === undefined) throw invalid('bucket', 'it is missing: name the bucket in spec.objectStorage.bucket')
  if (/^arn:[\w-]+:s3[\w-]*:[\w-]*:\d*:accesspoint[/:][\w-]+$/.test(bucket)) return bucket
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(bucket)) {
    throw invalid(
      'bucket',
      `${JSON.stringify(bucket)} is no bucket name: give the name alone, a folder goes into prefix`,
    )
  }
  return bucket
}

function prefixOf(parameters: Parameters): string {
  const prefix = trimSlashes(read(parameters, 'prefix') ?? '')
  const segments = prefix === '' ? [] : prefix.split('/')
  if (
    prefix.length > 512 ||
    segments.some((segment) => !/^[\w.!*'() @:+=,-]+$/.test(segment) || /^\.\.?$/.test(segment))
  ) {
    throw invalid(
      'prefix',
      `${JSON.stringify(prefix)} cannot be used: write folder names with single slashes between them`,
    )
  }
  return prefix
}

function urlOf(parameters: Parameters): string | undefined {
  const text = read(parameters, 's3Url')
  if (text === undefined) return undefined
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol))
    throw invalid('s3Url', 'it is no address: write https://host or https://host:port')
  if (url.username !== '' || url.password !== '')
    throw invalid('s3Url', 'it holds credentials: put them into the Secret of the location')
  if (url.search !== '' || url.hash !== '')
    throw invalid('s3Url', 'it has a query or a fragment: write https://host:port only')
  return url.href.replace(/\/+$/, '')
}

function encryptionOf(parameters: Parameters): RepositorySettings['serverSideEncryption'] {
  const algorithm = read(parameters, 'serverSideEncryption')
  // As Velero's plugin does it: a key id asks for KMS, whatever else is written.
  if (isSet(parameters['kmsKeyId'])) return 'aws:kms'
  if (algorithm === undefined || algorithm === 'AES256' || algorithm === 'aws:kms') return algorithm
  throw invalid('serverSideEncryption', `${JSON.stringify(algorithm)} is not known: write AES256 or aws:kms`)
}

function taggingOf(parameters: Parameters): string | undefined {
  const tagging = read(parameters, 'tagging')
  if (tagging === undefined) return undefined
  const tags = tagging.split('&')
  if (tags.length > 10 || tags.some((tag) => !/^[^=]{1,128}=[^=]{0,256}$/.test(tag))) {
    throw invalid('tagging', 'it is no list of at most ten tags: write key=value&key=value, each part URL-encoded')
  }
  return tagging
}

function booleanOf(parameters: Parameters, key: string): boolean {
  const text = read(parameters, key)
  if (text === undefined || /^(0|f|false)$/i.test(text)) return false
  if (/^(1|t|true)$/i.test(text)) return true
  throw invalid(key, `${JSON.stringify(text)} is no truth value: write "true" or "false"`)
}

function inlineOf(parameters: Parameters): AwsCredentials | undefined {
  const accessKeyId = read(parameters, 'aws_access_key_id')
  const secretAccessKey = read(parameters, 'aws_secret_access_key')
  if (accessKeyId === undefined && secretAccessKey === undefined) return undefined
  if (accessKeyId !== undefined && secretAccessKey !== undefined) return { accessKeyId, secretAccessKey }
  const missing = accessKeyId === undefined ? 'aws_access_key_id' : 'aws_secret_access_key'
  throw invalid(missing, 'only its other half is there: remove both and name a Secret in credentialSecretName')
}

/** `<secret>/<key>`, as velero-plugin-for-aws writes such references. */
function refOf(parameters: Parameters, key: string): SecretRef | undefined {
  const text = read(parameters, key)
  if (text === undefined) return undefined
  const match = /^([a-z0-9][a-z0-9.-]*)\/([\w.-]+)$/.exec(text)
  if (match?.[1] === undefined || match[2] === undefined)
    throw invalid(key, 'it is no reference: write <name of the Secret>/<key in it>')
  return { name: match[1], key: match[2] }
}

function refText(ref: { name?: string; key?: string } | undefined): string | undefined {
  return ref === undefined ? undefined : `${ref.name ?? ''}/${ref.key ?? ''}`
}

/** Velero mounts its default Secret at /credentials, so a file there is one of its keys; no other file can be reached from here. */
function secretOfMountedFile(file: unknown): string | undefined {
  if (!isSet(file)) return undefined
  const key = /^\/credentials\/([\w.-]+)$/.exec(String(file))?.[1]
  if (key !== undefined) return `${DEFAULT_CREDENTIAL_SECRET}/${key}`
  throw invalid(
    'customerKeyEncryptionFile',
    'that file is inside of the Velero pod: use customerKeyEncryptionSecret: <secret>/<key>',
  )
}

/** PEM, or PEM in base64 (a location holds it as bytes). */
export function decodeCaCert(text: string): string {
  const marker = '-----BEGIN CERTIFICATE-----'
  if (text.includes(marker)) return text
  const decoded = Buffer.from(text, 'base64').toString('utf8')
  if (decoded.includes(marker)) return decoded
  throw invalid('caCert', 'it holds no certificate: give the CA bundle in PEM form (BEGIN CERTIFICATE)')
}

function read(parameters: Parameters, key: (typeof KNOWN_KEYS)[number] | string): string | undefined {
  const value = parameters[key]?.trim()
  return isSet(value) ? value : undefined
}

function isSet(value: unknown): value is string {
  return value !== undefined && value !== null && value !== ''
}

function trimSlashes(path: string): string {
  return path.replace(/^\/+|\/+$/g, '')
}

function invalid(key: string, why: string): TerminalError {
  return new TerminalError('RepositoryParametersInvalid', `repository parameter ${key}: ${why}`)
}
