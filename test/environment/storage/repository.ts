// Opens the repository in the environment's bucket without the functions, so that tests can look into it.

import { type Repository, requireRepository } from '#shared/repository/core/repository.ts'
import type { S3Settings } from '#shared/repository/stores/s3/settings.ts'
import { createS3Store } from '#shared/repository/stores/s3/store.ts'
import type { Environment } from '../environment.ts'
import type { S3Server } from './s3.ts'

/** The address of the server itself, not of its fault proxy. */
export function settingsOf(s3: S3Server, prefix: string): S3Settings {
  return {
    kind: 's3',
    region: s3.region,
    bucket: s3.bucket,
    prefix,
    url: s3.url,
    forcePathStyle: true,
    caCert: s3.caPem,
    insecureSkipTlsVerify: false,
    credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
    serverSideEncryption: undefined,
    kmsKeyId: undefined,
    customerKey: undefined,
    tagging: undefined,
  }
}

export async function openRepository({ s3, parts }: Environment, prefix = ''): Promise<Repository> {
  return await requireRepository(createS3Store(settingsOf(s3, prefix)), parts.repositoryKey.password)
}
