// `repopsitoryParameters` (sic, the Velero Plugin for vSphere's wire name) of a bucket: turns a Velero BackupStorageLocation into a map
// of strings, and reads such a map. The map names Secrets and never holds their contents. Keys of the location: velero-plugin-for-aws,
// backupstoragelocation.md; velero.io/v1 BackupStorageLocation.

import type { BackupStorageLocation } from '#shared/api/types.ts'
import {
  booleanOf,
  decodeCaCert,
  invalid,
  isSet,
  type Parameters,
  read,
  refOf,
  requireBounded,
  type SecretRef,
  trimSlashes,
} from '#shared/domain/repository-parameter-values.ts'
import {
  DEFAULT_CREDENTIAL_SECRET,
  DEFAULT_ENCRYPTION_SECRET,
  type Reference,
  requirePurposes,
} from '#shared/domain/secret-purposes.ts'
import type { AwsCredentials } from './aws-credentials.ts'
import { requireKnownKeys } from './location-keys.ts'
import {
  bucketOf,
  type ChecksumAlgorithm,
  checksumOf,
  encryptionOf,
  inlineOf,
  prefixOf,
  regionOf,
  taggingOf,
  urlOf,
} from './parameter-values.ts'

export type S3Parameters = {
  bucket: string
  /** Without slashes at its ends; '' means no prefix. */
  prefix: string
  region: string
  /** false: the region of the profile counts, if the profile has one. */
  regionNamed: boolean
  url: string | undefined
  forcePathStyle: boolean
  profile: string
  caCert: string | undefined
  caCertSecret: SecretRef | undefined
  insecureSkipTlsVerify: boolean
  credentialSecret: SecretRef
  /** The location or the map names that Secret. Otherwise it is Velero's default Secret, and may be absent (IRSA, instance role). */
  credentialSecretNamed: boolean
  serverSideEncryption: 'AES256' | 'aws:kms' | undefined
  kmsKeyId: string | undefined
  customerKeySecret: SecretRef | undefined
  tagging: string | undefined
  checksumAlgorithm: ChecksumAlgorithm | undefined
  encryptionSecretName: string
  /**
   * The BackupStorageLocation in Velero's namespace that the map was made from; undefined: the map does not say (it is the Velero Plugin
   * for vSphere's).
   */
  location: string | undefined
  /** The map was made by the Velero Plugin for vSphere and holds the access keys as plain text (condition `PlaintextCredentials`). */
  plaintextCredentials: boolean
  /** Those access keys; used when no Secret is named. */
  inlineCredentials: AwsCredentials | undefined
  /** Keys that mean nothing to Dormouse, sorted: worth a warning, never fatal. */
  unknownKeys: string[]
}

export const KNOWN_KEYS = [
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
  'checksumAlgorithm',
  'encryptionSecretName',
  'backupStorageLocation',
  'aws_access_key_id',
  'aws_secret_access_key',
] as const

/** Config keys that mean the same in a location and in the map. */
const COPIED = [
  'region',
  's3Url',
  's3ForcePathStyle',
  'profile',
  'insecureSkipTLSVerify',
  'serverSideEncryption',
  'kmsKeyId',
  'tagging',
  'checksumAlgorithm',
] as const

/** Keys whose empty value has a meaning and differs from a missing value. */
const SAID_BY_EMPTY: readonly string[] = ['checksumAlgorithm']

/**
 * The map for a BackupStorageLocation: only what is set, in a fixed order, so that equal locations make equal maps. TerminalError
 * `RepositoryParametersInvalid` for a location that no repository can be made from.
 */
export function parametersFromLocation(
  location: BackupStorageLocation,
  encryptionSecretName?: string,
): Record<string, string> {
  const { config = {}, objectStorage = {}, credential } = location.spec ?? {}
  requireKnownKeys(config)
  const found: Parameters = Object.fromEntries(COPIED.map((key) => [key, config[key]]))
  found['bucket'] = objectStorage.bucket
  found['prefix'] = trimSlashes(objectStorage.prefix ?? '')
  const caCert = objectStorage.caCert ?? (objectStorage.caCertRef === undefined ? config['caCert'] : undefined)
  found['caCert'] = isSet(caCert) ? decodeCaCert(String(caCert)) : undefined
  found['caCertSecret'] = refText(objectStorage.caCertRef)
  const mounted = credential === undefined ? mountedKey('credentialsFile', config['credentialsFile']) : undefined
  found['credentialSecretName'] = credential?.name ?? (mounted === undefined ? undefined : DEFAULT_CREDENTIAL_SECRET)
  found['credentialSecretKey'] = credential?.key ?? mounted
  found['customerKeyEncryptionSecret'] = customerKeyOf(config)
  found['encryptionSecretName'] = encryptionSecretName
  found['backupStorageLocation'] = location.metadata.name
  const parameters = Object.fromEntries(
    KNOWN_KEYS.flatMap((key) => (isSaid(key, found[key]) ? [[key, String(found[key])] as const] : [])),
  )
  parseS3Parameters(parameters)
  return parameters
}

function isSaid(key: string, value: unknown): boolean {
  return isSet(value) || (value === '' && SAID_BY_EMPTY.includes(key))
}

/**
 * Reads a map of Dormouse or of the Velero Plugin for vSphere. TerminalError `RepositoryParametersInvalid` names the key and what to
 * write there.
 */
export function parseS3Parameters(parameters: Parameters): S3Parameters {
  requireBounded(parameters)
  const settings: S3Parameters = {
    bucket: bucketOf(parameters),
    prefix: prefixOf(parameters),
    region: regionOf(parameters),
    regionNamed: read(parameters, 'region') !== undefined,
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
    checksumAlgorithm: checksumOf(parameters),
    encryptionSecretName: read(parameters, 'encryptionSecretName') ?? DEFAULT_ENCRYPTION_SECRET,
    location: read(parameters, 'backupStorageLocation'),
    plaintextCredentials: isSet(parameters['aws_access_key_id']) || isSet(parameters['aws_secret_access_key']),
    inlineCredentials: inlineOf(parameters),
    unknownKeys: Object.keys(parameters)
      .filter((key) => !(KNOWN_KEYS as readonly string[]).includes(key))
      .sort(),
  }
  checkTogether(settings)
  return settings
}

/** Checks for values that are valid alone but cannot be combined. */
function checkTogether(settings: S3Parameters): void {
  requirePurposes(settings.encryptionSecretName, referencesOf(settings))
  if (settings.customerKeySecret === undefined) return
  if (settings.serverSideEncryption !== undefined) {
    throw invalid('customerKeyEncryptionSecret', 'it excludes serverSideEncryption and kmsKeyId: keep one of them')
  }
  if (settings.url?.startsWith('http:') === true) {
    throw invalid('customerKeyEncryptionSecret', 'the key would cross the network readably: use https:// in s3Url')
  }
}

/** Everything that the store's client takes from Secrets. */
export function referencesOf(settings: S3Parameters): Reference[] {
  const { credentialSecret, credentialSecretNamed, caCertSecret, customerKeySecret } = settings
  const usesInline = settings.inlineCredentials !== undefined && !credentialSecretNamed
  const all: [string, string, SecretRef | undefined][] = [
    ['credentialSecretName', "the S3 store's credentials", usesInline ? undefined : credentialSecret],
    ['caCertSecret', "the S3 store's CA", caCertSecret],
    ['customerKeyEncryptionSecret', 'the SSE-C key', customerKeySecret],
  ]
  return all.flatMap(([parameter, purpose, ref]) => {
    // Without Velero's default Secret, the SDK's default chain is used.
    const optional = parameter === 'credentialSecretName' && !credentialSecretNamed
    return ref === undefined ? [] : [{ parameter, purpose, ref, optional }]
  })
}

function refText(ref: { name?: string; key?: string } | undefined): string | undefined {
  return ref === undefined ? undefined : `${ref.name ?? ''}/${ref.key ?? ''}`
}

function customerKeyOf(config: Parameters): string | undefined {
  const { customerKeyEncryptionSecret: secret, customerKeyEncryptionFile: file } = config
  if (isSet(secret) && isSet(file))
    throw invalid('customerKeyEncryptionFile', 'it excludes customerKeyEncryptionSecret: keep one of them')
  const key = mountedKey('customerKeyEncryptionFile', file)
  return key === undefined ? secret : `${DEFAULT_CREDENTIAL_SECRET}/${key}`
}

/**
 * Velero mounts its default Secret at /credentials, so a file there is a key of that Secret. No other file of the pod can be read from
 * here.
 */
function mountedKey(parameter: keyof typeof INSTEAD_OF_A_FILE, file: unknown): string | undefined {
  if (!isSet(file)) return undefined
  const key = /^\/credentials\/([\w.-]+)$/.exec(String(file))?.[1]
  if (key !== undefined) return key
  throw invalid(parameter, `that file is inside of the Velero pod: use ${INSTEAD_OF_A_FILE[parameter]}`)
}

const INSTEAD_OF_A_FILE = {
  credentialsFile: "the location's spec.credential",
  customerKeyEncryptionFile: 'customerKeyEncryptionSecret: <secret>/<key>',
}
