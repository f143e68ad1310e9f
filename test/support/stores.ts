// Stores for tests, chosen by the same settings as in production.

import { mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { StoreSpec } from '#shared/domain/store-rules.ts'
import type { OpenedStore, StoreSettings } from '#shared/ports/stores.ts'
import { folder } from '#shared/repository/stores/folder/kind.ts'
import { loadStores } from '#shared/repository/stores/open.ts'
import { createStores } from '#shared/repository/stores/registry.ts'
import { s3 } from '#shared/repository/stores/s3/kind.ts'
import type { S3Settings } from '#shared/repository/stores/s3/settings.ts'

/** The settings of a deployment without folder stores. */
export const stores = createStores({ folderStores: undefined })

const open = await loadStores()

/** A bucket that no test connects to. */
export const bucketSettings: S3Settings = {
  kind: 's3',
  region: 'r',
  bucket: 'b',
  prefix: '',
  url: undefined,
  forcePathStyle: true,
  caCert: undefined,
  insecureSkipTlsVerify: false,
  credentials: undefined,
  serverSideEncryption: undefined,
  kmsKeyId: undefined,
  customerKey: undefined,
  tagging: undefined,
}

export function bucketSpec(parameters: Record<string, string>): StoreSpec {
  return { driver: s3.driver, parameters }
}

/** Parameters of a BackupRepository for this folder, in a deployment whose folder for stores is the parent folder. Makes the folder. */
export function folderSettings(path: string): StoreSettings {
  mkdirSync(path, { recursive: true })
  const spec = { driver: folder.driver, parameters: { path: resolve(path) } }
  return createStores({ folderStores: dirname(resolve(path)) }).settingsFrom(spec, new Map()).settings
}

export function folderStore(path: string): OpenedStore {
  return open(folderSettings(path))
}
