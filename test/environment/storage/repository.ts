// The repository in the environment's bucket, opened beside the functions: what tests look into.

import { createS3Store } from '#shared/adapters/s3/store.ts'
import { type Repository, requireRepository } from '#shared/engine/repository.ts'
import type { Environment } from '../environment.ts'

/** The server itself, without the fault bench before it. */
export async function openRepository({ s3, parts }: Environment, prefix = ''): Promise<Repository> {
  const store = createS3Store({
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
  })
  return await requireRepository(store, parts.repositoryKey.password)
}
