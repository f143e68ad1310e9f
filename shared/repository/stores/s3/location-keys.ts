// What becomes of each field of a BackupStorageLocation's spec and of each key of its config: docs/operations/locations.md has a row for
// each. Fields: velero.io/v1 BackupStorageLocationSpec; keys: velero-plugin-for-aws, object_store.go.

import { invalid } from '#shared/domain/repository-parameter-values.ts'

export type Fate = 'honoured' | 'not applicable'

export const SPEC_FIELDS = {
  provider: 'honoured',
  'objectStorage.bucket': 'honoured',
  'objectStorage.prefix': 'honoured',
  'objectStorage.caCert': 'honoured',
  'objectStorage.caCertRef': 'honoured',
  credential: 'honoured',
  config: 'honoured',
  accessMode: 'honoured',
  backupSyncPeriod: 'not applicable',
  default: 'not applicable',
  validationFrequency: 'not applicable',
} as const satisfies Record<string, Fate>

/** Those that name a file of the Velero pod are honoured as far as that file is a key of a Secret, and else refused. */
export const CONFIG_KEYS = {
  region: 'honoured',
  s3Url: 'honoured',
  s3ForcePathStyle: 'honoured',
  profile: 'honoured',
  credentialsFile: 'honoured',
  insecureSkipTLSVerify: 'honoured',
  caCert: 'honoured',
  serverSideEncryption: 'honoured',
  kmsKeyId: 'honoured',
  customerKeyEncryptionFile: 'honoured',
  customerKeyEncryptionSecret: 'honoured',
  tagging: 'honoured',
  checksumAlgorithm: 'honoured',
  bucket: 'not applicable',
  prefix: 'not applicable',
  publicUrl: 'not applicable',
  signatureVersion: 'not applicable',
  enableSharedConfig: 'not applicable',
} as const satisfies Record<string, Fate>

/** Velero's plugin refuses a key that it does not know; one that a later version knows must not be dropped without a word. */
export function requireKnownKeys(config: Record<string, unknown>): void {
  const unknown = Object.keys(config)
    .sort()
    .find((key) => !Object.hasOwn(CONFIG_KEYS, key))
  if (unknown === undefined) return
  throw invalid(unknown.slice(0, 80), "Dormouse does not know this key of the location's config: remove it")
}
