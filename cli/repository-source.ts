// Which repository a command is about: one that a cluster names, or everything from the command line.

import { readFile } from 'node:fs/promises'
import { parseRepositoryParameters, type RepositorySettings } from '#shared/domain/repository-parameters.ts'
import { parseRepositoryKey } from '#shared/domain/repository-secrets.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { accessCluster, type ClusterAccess, type ClusterFlags, type Named, namedRepository } from './cluster-access.ts'

export type SourceFlags = ClusterFlags & {
  location?: string
  repository?: string
  /** Without a cluster: `key=value` as in repopsitoryParameters. */
  parameter?: string[]
  credentialsFile?: string
  /** With the store's key for SSE-C, as it lies in the Secret: 32 bytes, or their base64. */
  customerKeyFile?: string
  passwordFile?: string
}

export type Source = Named & { readSecret: ClusterAccess['readSecret'] }

/** A cluster's location or repository; or everything from the command line, on a machine that has no cluster yet. */
export async function sourceOf(flags: SourceFlags): Promise<Source> {
  if (flags.parameter === undefined) {
    const access = accessCluster(flags)
    return { ...(await namedRepository(access, flags)), readSecret: access.readSecret }
  }
  if (flags.location !== undefined || flags.repository !== undefined) {
    throw usage('--parameter stands for a whole repository: leave --location and --repository away')
  }
  if (flags.passwordFile === undefined)
    throw usage('give --password-file: without a cluster there is no Secret to read')
  const parameters = {
    // Whatever the Secret was called: the file stands for it.
    ...(flags.customerKeyFile === undefined ? {} : { customerKeyEncryptionSecret: 'customer-key/key' }),
    ...Object.fromEntries(flags.parameter.map(keyAndValue)),
  }
  return { parameters, repositoryId: undefined, readSecret: await secretsFrom(flags, parameters) }
}

/** The files in place of the Secrets that the parameters name; one Secret may hold both. */
async function secretsFrom(flags: SourceFlags, parameters: Record<string, string>): Promise<Source['readSecret']> {
  const { credentialSecret, customerKeySecret } = parseRepositoryParameters(parameters)
  const files = [
    { ref: credentialSecret, key: credentialSecret.key ?? 'cloud', file: flags.credentialsFile },
    { ref: customerKeySecret, key: customerKeySecret?.key ?? '', file: flags.customerKeyFile },
  ]
  const secrets = new Map<string, Record<string, string>>()
  for (const { ref, key, file } of files) {
    if (ref === undefined || file === undefined) continue
    secrets.set(ref.name, { ...secrets.get(ref.name), [key]: (await readFile(file)).toString('base64') })
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
  settings: RepositorySettings,
  readSecret: Source['readSecret'],
): Promise<string> {
  if (flags.passwordFile !== undefined) return await textOf(flags.passwordFile)
  return parseRepositoryKey(await readSecret(settings.encryptionSecretName), settings.encryptionSecretName).password
}

/** Editors end a file with a newline, which is no part of a secret. */
export async function textOf(file: string): Promise<string> {
  const text = (await readFile(file, 'utf8')).replace(/\r?\n$/, '')
  if (text !== '') return text
  throw usage(`${file} is empty`)
}

export function usage(message: string): TerminalError {
  return new TerminalError('UsageInvalid', message)
}
