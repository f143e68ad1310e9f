// How each field of a BackupStorageLocation's spec and each key of its config is treated: docs/operations/locations.md has a row for
// each. Fields: velero.io/v1 BackupStorageLocationSpec; keys: velero-plugin-for-aws, object_store.go.

import { invalid } from '#shared/domain/repository-parameter-values.ts'

type Fate = 'honoured' | 'not applicable'

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

/** Keys that name a file of the Velero pod are honoured if that file is a key of a Secret, and otherwise refused. */
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

/** Velero's plugin refuses a key that it does not know. A key that only a later version knows must not be dropped silently. */
export function requireKnownKeys(config: Record<string, unknown>): void {
  const unknown = Object.keys(config)
    .sort()
    .find((key) => !Object.hasOwn(CONFIG_KEYS, key))
  if (unknown === undefined) return
  throw invalid(unknown.slice(0, 80), "Dormouse does not know this key of the location's config: remove it")
}
