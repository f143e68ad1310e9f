// A BackupStorageLocation of Velero's over a bucket of the environment's S3 server.

import type { LooseObject } from '#test/support/loose-object.ts'
import { VELERO_NAMESPACE } from '../options.ts'
import { CREDENTIALS_SECRET } from '../seed.ts'
import type { S3Server } from './s3.ts'

export type LocationWish = {
  bucket?: string
  prefix?: string
  accessMode?: 'ReadOnly' | 'ReadWrite'
  default?: true
  /** Name of the Secret with the server's keys. */
  credentials?: string
  /** Further keys of `config`. */
  config?: Record<string, string>
}

/** The prefix is the location's name unless another one is given. */
export function aLocation(s3: S3Server, name: string, wish: LocationWish = {}): LooseObject {
  const { bucket = s3.bucket, prefix = name, accessMode = 'ReadWrite', credentials = CREDENTIALS_SECRET } = wish
  const caCert = s3.caPem === undefined ? {} : { caCert: Buffer.from(s3.caPem).toString('base64') }
  return {
    apiVersion: 'velero.io/v1',
    kind: 'BackupStorageLocation',
    metadata: { name, namespace: VELERO_NAMESPACE },
    spec: {
      provider: 'aws',
      accessMode,
      ...(wish.default === undefined ? {} : { default: wish.default }),
      objectStorage: { bucket, prefix, ...caCert },
      credential: { name: credentials, key: 'cloud' },
      config: {
        region: s3.region,
        s3Url: s3.shownUrl,
        s3ForcePathStyle: 'true',
        checksumAlgorithm: '',
        ...wish.config,
      },
    },
  }
}
