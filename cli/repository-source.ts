// Which repository a command works on: one that a cluster names, or one that the command line describes completely.

import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseRepositoryKey } from '#shared/domain/repository-secrets.ts'
import type { StoreParameters, StoreSpec } from '#shared/domain/store-rules.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { Stores } from '#shared/ports/stores.ts'
import { folder } from '#shared/repository/stores/folder/kind.ts'
import { createStores } from '#shared/repository/stores/registry.ts'
import { s3 } from '#shared/repository/stores/s3/kind.ts'
import { accessCluster, type ClusterAccess, type ClusterFlags, type Named, namedRepository } from './cluster-access.ts'

export type SourceFlags = ClusterFlags & {
  location?: string
  repository?: string
  /** Without a cluster: `key=value` as in repopsitoryParameters, for a bucket. */
  parameter?: string[]
  /** Without a cluster: a repository in this folder. */
  folder?: string
  credentialsFile?: string
  /** With the store's key for SSE-C, as in the Secret: 32 bytes, or their base64. */
  customerKeyFile?: string
  passwordFile?: string
}

type Source = Named & { stores: Stores; readSecret: ClusterAccess['readSecret'] }

/** A folder that the user names on the command line may be anywhere on this machine. */
const ANY_FOLDER = { folderStores: '/' }

/** The command line has all settings, for a machine that has no cluster yet. */
export function isWithoutCluster(flags: SourceFlags): boolean {
  return flags.parameter !== undefined || flags.folder !== undefined
}

/** A cluster's location or repository; or the settings on the command line. */
export async function sourceOf(flags: SourceFlags): Promise<Source> {
  if (!isWithoutCluster(flags)) {
    const access = accessCluster(flags)
    const { readSecret, deps } = access
    return { ...(await namedRepository(access, flags)), stores: deps.stores, readSecret }
  }
  const stores = createStores(ANY_FOLDER)
  const spec = givenSpec(flags)
  return { stores, spec, repositoryId: undefined, readSecret: await secretsFrom(flags, stores.parse(spec)) }
}

function givenSpec(flags: SourceFlags): StoreSpec {
  const { parameter, folder: path } = flags
  const option = path === undefined ? '--parameter' : '--folder'
  if (flags.location !== undefined || flags.repository !== undefined)
    throw usage(`${option} stands for a whole repository: leave --location and --repository away`)
  if (flags.passwordFile === undefined)
    throw usage('give --password-file: without a cluster there is no Secret to read')
  if (path === undefined) return bucketSpec(flags)
  const ofBuckets = [parameter, flags.credentialsFile, flags.customerKeyFile]
  if (ofBuckets.some((flag) => flag !== undefined))
    throw usage('--folder is a store of its own: leave --parameter, --credentials-file and --customer-key-file away')
  return { driver: folder.driver, parameters: { path: resolve(path) } }
}

function bucketSpec({ parameter = [], customerKeyFile }: SourceFlags): StoreSpec {
  const parameters = {
    // The file replaces the Secret, whatever the Secret's name was.
    ...(customerKeyFile === undefined ? {} : { customerKeyEncryptionSecret: 'customer-key/key' }),
    ...Object.fromEntries(parameter.map(keyAndValue)),
  }
  return { driver: s3.driver, parameters }
}

/** The files that replace the Secrets that the parameters name; one Secret may contain both. */
async function secretsFrom(flags: SourceFlags, parameters: StoreParameters): Promise<Source['readSecret']> {
  const files: Record<string, string | undefined> = {
    credentialSecretName: flags.credentialsFile,
    customerKeyEncryptionSecret: flags.customerKeyFile,
  }
  const secrets = new Map<string, Record<string, string>>()
  for (const { parameter, ref } of parameters.secrets) {
    const file = files[parameter]
    if (file === undefined) continue
    const value = (await bytesOf(file)).toString('base64')
    secrets.set(ref.name, { ...secrets.get(ref.name), [ref.key ?? 'cloud']: value })
  }
  return async (name) => {
    const data = secrets.get(name)
    return data === undefined ? undefined : { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data }
  }
}

function keyAndValue(text: string): [string, string] {
  const equals = text.indexOf('=')
  if (equals < 1) throw usage(`--parameter ${JSON.stringify(text)}: write key=value`)
  return [text.slice(0, equals), text.slice(equals + 1)]
}

/** From the file, else from the Secret that the repository's settings name. */
export async function passwordOf(
  flags: SourceFlags,
  { encryptionSecretName }: Pick<StoreParameters, 'encryptionSecretName'>,
  readSecret: Source['readSecret'],
): Promise<string> {
  if (flags.passwordFile !== undefined) return await textOf(flags.passwordFile)
  return parseRepositoryKey(await readSecret(encryptionSecretName), encryptionSecretName).password
}

/** Editors end a file with a newline, which is not part of a secret. */
export async function textOf(file: string): Promise<string> {
  const text = (await bytesOf(file)).toString('utf8').replace(/\r?\n$/, '')
  if (text !== '') return text
  throw usage(`${file} is empty`)
}

/** TerminalError `UsageInvalid` that names the file. */
async function bytesOf(file: string): Promise<Buffer> {
  return await readFile(file).catch((error: Error) => {
    throw usage(`${file} cannot be read: ${error.message}`)
  })
}

export function usage(message: string): TerminalError {
  return new TerminalError('UsageInvalid', message)
}
