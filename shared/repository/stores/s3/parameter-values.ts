// Reads single values of a repository's parameters: where its bucket is, and how objects are written there. A TerminalError
// `RepositoryParametersInvalid` names the key and what to write.

import {
  invalid,
  isSet,
  type Parameters,
  quoted,
  read,
  trimSlashes,
  withoutSlashes,
} from '#shared/domain/repository-parameter-values.ts'
import type { AwsCredentials } from './aws-credentials.ts'

export function bucketOf(parameters: Parameters): string {
  // Velero accepts the name with slashes around it.
  const bucket = trimSlashes(read(parameters, 'bucket') ?? '')
  if (bucket === '') throw invalid('bucket', 'it is missing: name the bucket in spec.objectStorage.bucket')
  if (/^arn:[\w-]+:s3[\w-]*:[\w-]*:\d*:accesspoint[/:][\w-]+$/.test(bucket)) return bucket
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(bucket)) {
    throw invalid('bucket', `${quoted(bucket)} is no bucket name: give the name alone, a folder goes into prefix`)
  }
  return bucket
}

/** A key has at most 1,024 bytes; the repository's own names need the rest. */
const MAX_PREFIX_BYTES = 512
/** Characters that XML and HTTP cannot carry. Some stores return U+FFFD in place of such a character. */
const UNTELLABLE = /[\p{Cc}\ufffd-\uffff]/u

/**
 * The folder that also holds Velero's own folder. Velero joins the prefix as Go's path.Join does
 * (pkg/persistence/object_store_layout.go), so repeated slashes count once and `.` not at all. Everything else is taken literally,
 * including blanks and unnormalized letters. `..` is refused, because it would lead out of the folder.
 */
export function prefixOf(parameters: Parameters): string {
  const text = parameters['prefix'] ?? ''
  const segments = text.split('/').filter((segment) => segment !== '' && segment !== '.')
  const prefix = segments.join('/')
  if (segments.includes('..')) throw invalid('prefix', `${quoted(text)} leads out of itself: write it without ".."`)
  if (UNTELLABLE.test(prefix) || !prefix.isWellFormed())
    throw invalid('prefix', `${quoted(text)} holds a control character or half of a letter: write it anew`)
  const bytes = Buffer.byteLength(prefix, 'utf8')
  if (bytes > MAX_PREFIX_BYTES)
    throw invalid('prefix', `${quoted(text)} has ${bytes} bytes: at most ${MAX_PREFIX_BYTES} are taken`)
  return prefix
}

const DEFAULT_REGION = 'us-east-1'

/** The region is part of host names, so the SDKs accept only one label of a host name (isValidHostLabel); AWS uses lower case. */
export function regionOf(parameters: Parameters): string {
  const region = read(parameters, 'region') ?? DEFAULT_REGION
  if (!isRegion(region)) {
    throw invalid('region', `${quoted(region)} is no region: write letters, digits and hyphens, such as eu-west-1`)
  }
  if (read(parameters, 's3Url') === undefined && /[A-Z]/.test(region)) {
    throw invalid('region', `${quoted(region)} is no region of AWS: write it in small letters`)
  }
  return region
}

export function isRegion(text: string): boolean {
  return /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(text)
}

export function urlOf(parameters: Parameters): string | undefined {
  const text = read(parameters, 's3Url')
  if (text === undefined) return undefined
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol))
    throw invalid('s3Url', 'it is no address: write https://host or https://host:port')
  if (url.username !== '' || url.password !== '')
    throw invalid('s3Url', 'it holds credentials: put them into the Secret of the location')
  if (url.search !== '' || url.hash !== '')
    throw invalid('s3Url', 'it has a query or a fragment: write https://host:port only')
  return withoutSlashes(url.href)
}

export function encryptionOf(parameters: Parameters): 'AES256' | 'aws:kms' | undefined {
  const algorithm = read(parameters, 'serverSideEncryption')
  // As in Velero's plugin: a key id selects KMS, whatever else is written.
  if (isSet(parameters['kmsKeyId'])) return 'aws:kms'
  if (algorithm === undefined || algorithm === 'AES256' || algorithm === 'aws:kms') return algorithm
  throw invalid('serverSideEncryption', `${quoted(algorithm)} is not known: write AES256 or aws:kms`)
}

/** The algorithms that S3's clients for Go and for JavaScript both know. `none`: no checksum header is sent. */
const CHECKSUM_ALGORITHMS = ['CRC32', 'CRC32C', 'SHA1', 'SHA256', 'CRC64NVME'] as const
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number] | 'none'

/** undefined: the location does not set it. An empty text is a value of its own: Velero's plugin takes it for "none". */
export function checksumOf(parameters: Parameters): ChecksumAlgorithm | undefined {
  const text = parameters['checksumAlgorithm']
  if (text === undefined || text === null) return undefined
  if (text === '') return 'none'
  const known = CHECKSUM_ALGORITHMS.find((algorithm) => algorithm === text)
  if (known !== undefined) return known
  throw invalid(
    'checksumAlgorithm',
    `${quoted(text)} is not known: write ${CHECKSUM_ALGORITHMS.join(', ')}, or "" for none`,
  )
}

export function taggingOf(parameters: Parameters): string | undefined {
  const tagging = read(parameters, 'tagging')
  if (tagging === undefined) return undefined
  const tags = tagging.split('&')
  if (tags.length > 10 || tags.some((tag) => !/^[^=]{1,128}=[^=]{0,256}$/.test(tag))) {
    throw invalid('tagging', 'it is no list of at most ten tags: write key=value&key=value, each part URL-encoded')
  }
  return tagging
}

export function inlineOf(parameters: Parameters): AwsCredentials | undefined {
  const accessKeyId = read(parameters, 'aws_access_key_id')
  const secretAccessKey = read(parameters, 'aws_secret_access_key')
  if (accessKeyId === undefined && secretAccessKey === undefined) return undefined
  if (accessKeyId !== undefined && secretAccessKey !== undefined) return { accessKeyId, secretAccessKey }
  const missing = accessKeyId === undefined ? 'aws_access_key_id' : 'aws_secret_access_key'
  throw invalid(missing, 'only its other half is there: remove both and name a Secret in credentialSecretName')
}
