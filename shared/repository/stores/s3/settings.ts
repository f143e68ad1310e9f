// What the client of a bucket needs, as plain data, which is sent to the mover.

import type { StoreSettings } from '#shared/ports/stores.ts'
import type { StoreCredentials } from './aws-credentials.ts'
import type { ChecksumAlgorithm } from './parameter-values.ts'

/** A bucket as a BackupStorageLocation describes it. */
export type S3Settings = {
  kind: 's3'
  region: string
  bucket: string
  /** '' or a path without slashes at its ends; the repository is in `<prefix>/plugins/dormouse/`. */
  prefix: string
  /** undefined: the provider's own address for the region. */
  url: string | undefined
  forcePathStyle: boolean
  /** PEM bundle that is trusted besides the system's authorities. */
  caCert: string | undefined
  insecureSkipTlsVerify: boolean
  /** undefined: the SDK's default chain (IRSA, instance role). */
  credentials: StoreCredentials | undefined
  /** For messages: where the credentials come from, such as a Secret's name. */
  credentialOrigin?: string | undefined
  serverSideEncryption: 'AES256' | 'aws:kms' | undefined
  kmsKeyId: string | undefined
  /** SSE-C: 32 bytes, base64. */
  customerKey: string | undefined
  /** Object tags, as `key=value&…`. */
  tagging: string | undefined
  /** Checksum of written objects; undefined: CRC32, and none where the store refuses it. */
  checksumAlgorithm?: ChecksumAlgorithm | undefined
}

/** The registry passes each kind only its own settings. */
export function requireS3(settings: StoreSettings): S3Settings {
  if (isS3(settings)) return settings
  throw new Error(`settings of a store of kind ${settings.kind} came to S3`)
}

function isS3(settings: StoreSettings): settings is S3Settings {
  return settings.kind === 's3'
}
